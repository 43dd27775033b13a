//! The Hamiltonian constraint of general relativity, from the fields of a BSSN evolution: a measure
//! of reconstructions that physicists ask for.

use ndarray::{Array3, ArrayView3, Axis, Slice};
use std::collections::BTreeMap;

/// What a step's fields are called, as in examples/bssn: χ = ψ⁻⁴, conformal metric and trace-free
/// extrinsic curvature with indices down, trace of the latter.
const METRIC: [&str; 6] = ["gt_xx", "gt_xy", "gt_xz", "gt_yy", "gt_yz", "gt_zz"];
const CURVATURE: [&str; 6] = ["At_xx", "At_xy", "At_xz", "At_yy", "At_yz", "At_zz"];

/// Where the component `ij` of a symmetric tensor is kept.
const SYMMETRIC: [[usize; 3]; 3] = [[0, 1, 2], [1, 3, 4], [2, 4, 5]];

/// Points at each face that the differences do not reach.
const MARGIN: usize = 4;

/// Inside of this the punctures' own differences are all there is.
const LEAST_CHI: f64 = 0.25;

/// Root mean square of H = R + ⅔K² − Ã_ij Ã^ij over the points with χ ≥ ¼ that are at least four
/// points from every face (Baumgarte & Shapiro, "Numerical Relativity", eq. 2.132, in conformal
/// variables). Fields `[z, y, x]` by name, spacing in units of the mass; the result is in its
/// inverse square. None where a field is missing.
pub fn hamiltonian(fields: &BTreeMap<String, Array3<f64>>, spacing: [f64; 3]) -> Option<f64> {
    let named = |name: &str| fields.get(name);
    let (chi, k) = (named("chi")?, named("K")?);
    let tilde: Vec<_> = METRIC.iter().map(|n| named(n)).collect::<Option<_>>()?;
    let at: Vec<_> = CURVATURE.iter().map(|n| named(n)).collect::<Option<_>>()?;
    if chi.shape().iter().any(|&n| n <= 2 * MARGIN) {
        return None;
    }
    let metric: Vec<Array3<f64>> = tilde.iter().map(|g| *g / chi).collect();
    let connection = Connection::of(&metric, spacing);
    let [nz, ny, nx] = chi.shape()[..] else { return None };
    let (mut sum, mut n) = (0.0, 0.0);
    for (p, &chi) in chi.indexed_iter() {
        let inside = |at: usize, n: usize| (MARGIN..n - MARGIN).contains(&at);
        let (z, y, x) = p;
        if chi < LEAST_CHI || !(inside(x, nx) && inside(y, ny) && inside(z, nz)) {
            continue;
        }
        let upper = inverse(|i, j| metric[SYMMETRIC[i][j]][p]);
        let upper_tilde = inverse(|i, j| tilde[SYMMETRIC[i][j]][p]);
        let mixed =
            |i: usize, j: usize| -> f64 { (0..3).map(|l| upper_tilde[i][l] * at[SYMMETRIC[l][j]][p]).sum() };
        let mut h = 2.0 / 3.0 * k[p] * k[p];
        for (i, row) in upper.iter().enumerate() {
            for (j, upper) in row.iter().enumerate() {
                h += upper * connection.ricci(i, j, p) - mixed(i, j) * mixed(j, i);
            }
        }
        sum += h * h;
        n += 1.0;
    }
    (n > 0.0).then(|| (sum / n).sqrt())
}

/// The Christoffel symbols Γ^i_jk of a metric, and their derivatives, as `[i][jk]`.
struct Connection {
    gamma: Vec<Vec<Array3<f64>>>,
    derivatives: Vec<Vec<[Array3<f64>; 3]>>,
}

impl Connection {
    fn of(metric: &[Array3<f64>], spacing: [f64; 3]) -> Self {
        let by = |f: &Array3<f64>| [0, 1, 2].map(|axis| derivative(f, axis, spacing[axis]));
        let d_metric: Vec<[Array3<f64>; 3]> = metric.iter().map(by).collect();
        let mut gamma: Vec<Vec<Array3<f64>>> = vec![vec![Array3::zeros(metric[0].dim()); 6]; 3];
        for (p, _) in metric[0].indexed_iter() {
            let inverse = inverse(|i, j| metric[SYMMETRIC[i][j]][p]);
            for j in 0..3 {
                for l in j..3 {
                    let lower = [0, 1, 2].map(|m| {
                        let d = |a: usize, b: usize, by: usize| d_metric[SYMMETRIC[a][b]][by][p];
                        0.5 * (d(m, j, l) + d(m, l, j) - d(j, l, m))
                    });
                    for i in 0..3 {
                        gamma[i][SYMMETRIC[j][l]][p] = (0..3).map(|m| inverse[i][m] * lower[m]).sum();
                    }
                }
            }
        }
        let derivatives = gamma.iter().map(|g| g.iter().map(by).collect()).collect();
        Self { gamma, derivatives }
    }

    /// The component `ij` of the Ricci tensor at a point.
    fn ricci(&self, i: usize, j: usize, p: (usize, usize, usize)) -> f64 {
        let g = |i: usize, j: usize, l: usize| self.gamma[i][SYMMETRIC[j][l]][p];
        let dg = |i: usize, j: usize, l: usize, by: usize| self.derivatives[i][SYMMETRIC[j][l]][by][p];
        let mut ricci = 0.0;
        for l in 0..3 {
            ricci += dg(l, i, j, l) - dg(l, i, l, j);
            ricci += (0..3).map(|m| g(l, l, m) * g(m, i, j) - g(l, j, m) * g(m, i, l)).sum::<f64>();
        }
        ricci
    }
}

/// Fourth-order central differences along an axis (0 is x, the last of `[z, y, x]`); 0 at the two
/// points next to a face.
fn derivative(f: &Array3<f64>, axis: usize, spacing: f64) -> Array3<f64> {
    let axis = Axis(2 - axis);
    let n = f.len_of(axis);
    let shifted = |by: usize| -> ArrayView3<'_, f64> { f.slice_axis(axis, Slice::from(by..n + by - 4)) };
    let inside = (&shifted(0) - &shifted(4) + 8.0 * (&shifted(3) - &shifted(1))) / (12.0 * spacing);
    let mut out = Array3::zeros(f.dim());
    out.slice_axis_mut(axis, Slice::from(2..n - 2)).assign(&inside);
    out
}

/// Of a symmetric matrix.
fn inverse(m: impl Fn(usize, usize) -> f64) -> [[f64; 3]; 3] {
    let minor = |i: usize, j: usize| {
        let [a, b, c, d] = [(i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3];
        m(a, c) * m(b, d) - m(a, d) * m(b, c)
    };
    let det: f64 = (0..3).map(|j| m(0, j) * minor(0, j)).sum();
    [0, 1, 2].map(|i| [0, 1, 2].map(|j| minor(j, i) / det))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A black hole at rest (isotropic coordinates), and an extrinsic curvature Ã = diag(c, −c, 0)
    /// that does not belong to it. Whatever the spacing, H is taken over 1.5 ≤ x, y, z ≤ 6.
    fn fields(n: usize, curvature: f64) -> (BTreeMap<String, Array3<f64>>, [f64; 3]) {
        let h = 4.5 / n as f64;
        let n = n + 1 + 2 * MARGIN;
        let field = |f: &dyn Fn(f64) -> f64| {
            Array3::from_shape_fn((n, n, n), |p| {
                let [z, y, x] = [p.0, p.1, p.2].map(|i| (i as f64 - MARGIN as f64) * h + 1.5);
                f((x * x + y * y + z * z).sqrt())
            })
        };
        let mut all = BTreeMap::new();
        all.insert("chi".to_owned(), field(&|r| (1.0 + 0.5 / r).powi(-4)));
        all.insert("K".to_owned(), field(&|_| 0.0));
        for (i, name) in METRIC.iter().enumerate() {
            all.insert((*name).to_owned(), field(&|_| if [0, 3, 5].contains(&i) { 1.0 } else { 0.0 }));
        }
        for (i, name) in CURVATURE.iter().enumerate() {
            let part = [curvature, 0.0, 0.0, -curvature, 0.0, 0.0][i];
            all.insert((*name).to_owned(), field(&|_| part));
        }
        (all, [h; 3])
    }

    #[test]
    fn a_black_hole_at_rest_violates_it_by_the_fourth_power_of_the_spacing() {
        let violation = |n| {
            let (fields, spacing) = fields(n, 0.0);
            hamiltonian(&fields, spacing).unwrap()
        };
        let (coarse, fine) = (violation(24), violation(48));
        let order = (coarse / fine).log2();
        assert!((3.3..4.7).contains(&order), "{coarse:e} {fine:e}: order {order}");
    }

    #[test]
    fn curvature_without_a_matching_metric_violates_it_by_its_square() {
        let (fields, spacing) = fields(24, 0.1);
        let h = hamiltonian(&fields, spacing).unwrap();
        assert!((h - 0.02).abs() < 2e-3, "{h}");
        let mut less = fields.clone();
        less.remove("K");
        assert!(hamiltonian(&less, spacing).is_none());
    }
}
