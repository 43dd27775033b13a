//! Fits the weights of spatial prediction to data again and holds those of `predict/spatial.rs`
//! against them: `fit_spatial TRAINING.npy… --test UNSEEN.npy…` (float64 fields; `make fit` calls
//! it).
//!
//! For each block and axis, the four lowest coefficients along the axis are a linear function of
//! those of the lower neighbour (BEYOND), or of both (BETWEEN). Neighbours are rounded to the
//! quantisation step of a bound, as a decoder has them. What is minimised is the mean of log₂(1 +
//! (residual / quantum)²) / 2, about the bits of a coefficient, by least squares that are weighted
//! anew in each of a few rounds; plain least squares would see the few blocks at the punctures
//! alone.

use ndarray::Array3;
use ndarray_npy::read_npy;
use std::array::from_fn;
use std::error::Error;

const EDGE: usize = 8;
/// Degrees along an axis that take part.
const LOW: usize = 4;
/// Bounds, relative to the value range, that count alike.
const BOUNDS: [f64; 3] = [1e-3, 1e-4, 1e-5];
/// Of weighted least squares; the residual that counts half falls by 4 in each, down to a quantum.
const ROUNDS: i32 = 8;

/// `[degree of the result][degree of the neighbour]`
type Weights = [[f64; LOW]; LOW];
/// Four coefficients along an axis.
type Line = [f64; LOW];

/// The blocks of a field, each as its 4 × 4 × 4 lowest coefficients, x fastest, in quanta of 1.
struct Blocks {
    count: [usize; 3],
    blocks: Vec<[f64; LOW * LOW * LOW]>,
    range: f64,
}

/// The orthonormal polynomials of the lowest degrees on 8 points (Gram), by Gram and Schmidt.
fn basis() -> [[f64; EDGE]; LOW] {
    let mut out = [[0.0; EDGE]; LOW];
    for degree in 0..LOW {
        let mut row: [f64; EDGE] = from_fn(|p| (p as f64 - 3.5).powi(degree as i32));
        for lower in &out[..degree] {
            let along: f64 = row.iter().zip(lower).map(|(a, b)| a * b).sum();
            row = from_fn(|p| row[p] - along * lower[p]);
        }
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        out[degree] = row.map(|v| v / length);
    }
    out
}

impl Blocks {
    fn read(path: &str) -> Result<Option<Self>, Box<dyn Error>> {
        let field: Array3<f64> = read_npy(path)?;
        let (z, y, x) = field.dim();
        let count = [x / EDGE, y / EDGE, z / EDGE];
        let (min, max) = field.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        let range = max - min;
        if !range.is_finite() || range <= 0.0 {
            return Ok(None);
        }
        let basis = basis();
        let coefficients = |block: usize| {
            let at = [block % count[0], block / count[0] % count[1], block / (count[0] * count[1])];
            let value =
                |p: [usize; 3]| field[[at[2] * EDGE + p[2], at[1] * EDGE + p[1], at[0] * EDGE + p[0]]];
            let mut out = [0.0; LOW * LOW * LOW];
            for z in 0..EDGE {
                let mut plane = [0.0; LOW * LOW];
                for y in 0..EDGE {
                    for i in 0..LOW {
                        let along: f64 = (0..EDGE).map(|x| basis[i][x] * value([x, y, z])).sum();
                        (0..LOW).for_each(|j| plane[j * LOW + i] += basis[j][y] * along);
                    }
                }
                for (place, entry) in out.iter_mut().enumerate() {
                    *entry += basis[place / (LOW * LOW)][z] * plane[place % (LOW * LOW)];
                }
            }
            out
        };
        let blocks = (0..count.iter().product()).map(coefficients).collect();
        Ok(Some(Self { count, blocks, range }))
    }

    /// Calls back with every line of coefficients and those of its lower and upper neighbour at a
    /// distance, in quanta, the neighbours' rounded.
    fn lines(&self, distance: usize, bound: f64, mut call: impl FnMut(&Line, &Line, &Line)) {
        let scale = 1.0 / (2.0 * bound * self.range);
        let strides = [1, self.count[0], self.count[0] * self.count[1]];
        for axis in 0..3 {
            let inner = [1, LOW, LOW * LOW][axis];
            let [a, b] = [[LOW, LOW * LOW], [1, LOW * LOW], [1, LOW]][axis];
            for block in 0..self.blocks.len() {
                let at = block / strides[axis] % self.count[axis];
                if at < distance || at + distance >= self.count[axis] {
                    continue;
                }
                let reach = distance * strides[axis];
                for first in (0..LOW * LOW).map(|i| i % LOW * a + i / LOW * b) {
                    let line = |of: usize| from_fn(|d| self.blocks[of][first + d * inner] * scale);
                    let rounded = |of: usize| line(of).map(f64::round);
                    call(&line(block), &rounded(block - reach), &rounded(block + reach));
                }
            }
        }
    }
}

/// One of the six sets of weights.
#[derive(Clone, Copy)]
struct Case {
    both: bool,
    level: usize,
}

impl Case {
    fn name(self) -> String {
        format!("{}[{}]", if self.both { "BETWEEN" } else { "BEYOND" }, self.level)
    }

    /// Results and neighbours' degrees that take part: distant neighbours tell less.
    fn shape(self) -> (usize, usize) {
        match (self.level, self.both) {
            (0, _) => (LOW, LOW),
            (_, true) => (2, 2),
            (_, false) => (1, 2),
        }
    }

    /// What the prediction of a degree is a combination of; mirrored, odd degrees change sign.
    fn regressors(self, to: usize, low: &Line, high: &Line) -> Line {
        let sign = |of: usize| if (to + of).is_multiple_of(2) { 1.0 } else { -1.0 };
        from_fn(|of| low[of] + if self.both { sign(of) * high[of] } else { 0.0 })
    }

    /// About the bits of a coefficient.
    fn bits(self, fields: &[Blocks], weights: &Weights) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for (field, bound) in fields.iter().flat_map(|f| BOUNDS.map(|b| (f, b))) {
            field.lines(1 << self.level, bound, |truth, low, high| {
                for (to, row) in weights.iter().enumerate() {
                    let residual = truth[to] - dot(row, &self.regressors(to, low, high));
                    sum += 0.5 * (1.0 + residual * residual).log2();
                    count += 1.0;
                }
            });
        }
        sum / count
    }

    fn fit(self, fields: &[Blocks]) -> Weights {
        let (rows, columns) = self.shape();
        let mut weights = [[0.0; LOW]; LOW];
        for round in 1..=ROUNDS {
            let half = 4f64.powi(ROUNDS - round).powi(2);
            let mut normal = [[[0.0; LOW + 1]; LOW]; LOW];
            for (field, bound) in fields.iter().flat_map(|f| BOUNDS.map(|b| (f, b))) {
                field.lines(1 << self.level, bound, |truth, low, high| {
                    for to in 0..rows {
                        let x = self.regressors(to, low, high);
                        let residual = truth[to] - dot(&weights[to], &x);
                        let weight = 1.0 / (half + residual * residual);
                        for i in 0..columns {
                            (0..columns).for_each(|j| normal[to][i][j] += weight * x[i] * x[j]);
                            normal[to][i][LOW] += weight * x[i] * truth[to];
                        }
                    }
                });
            }
            (0..rows).for_each(|to| weights[to] = solve(normal[to], columns));
        }
        weights
    }
}

fn dot(a: &Line, b: &Line) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Gaussian elimination; the matrix is symmetric and positive, or a variable that is never there.
fn solve(mut rows: [[f64; LOW + 1]; LOW], n: usize) -> Line {
    for i in 0..n {
        rows[i][i] += 1e-12;
        for j in 0..n {
            if i != j {
                let factor = rows[j][i] / rows[i][i];
                rows[j] = from_fn(|k| rows[j][k] - factor * rows[i][k]);
            }
        }
    }
    from_fn(|i| if i < n { rows[i][LOW] / rows[i][i] } else { 0.0 })
}

/// The weights that the codec has: BETWEEN and BEYOND as its source says them.
fn of_the_codec(name: &str) -> [Weights; 3] {
    let source = include_str!("../predict/spatial.rs");
    let start = source.find(&format!("const {name}: [Weights; 3] = [")).expect("the constant is there");
    let text = &source[start..start + source[start..].find("];").expect("it ends")];
    let text = text[text.find('=').expect("it has a value")..].replace("[0.0; 4]", "[0.0, 0.0, 0.0, 0.0]");
    let mut numbers = text
        .split(|c: char| !(c.is_ascii_digit() || ".-".contains(c)))
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().expect("a number"));
    from_fn(|_| from_fn(|_| from_fn(|_| numbers.next().expect("48 numbers"))))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (training, unseen) = match arguments.iter().position(|a| a == "--test") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (&arguments[..], &arguments[..]),
    };
    let read = |paths: &[String]| -> Result<Vec<Blocks>, Box<dyn Error>> {
        let all = paths.iter().map(|p| Blocks::read(p)).collect::<Result<Vec<_>, _>>()?;
        Ok(all.into_iter().flatten().collect())
    };
    let (training, unseen) = (read(training)?, read(unseen)?);
    println!("                bits a coefficient, unseen fields");
    println!("weights         nothing predicted   the codec's   fitted again");
    for (both, name) in [(true, "BETWEEN"), (false, "BEYOND")] {
        let codec = of_the_codec(name);
        for (level, codec) in codec.iter().enumerate() {
            let case = Case { both, level };
            let fitted = case.fit(&training);
            let bits = [&[[0.0; LOW]; LOW], codec, &fitted].map(|w| case.bits(&unseen, w));
            println!("{:<15} {:>17.3} {:>13.3} {:>14.3}", case.name(), bits[0], bits[1], bits[2]);
            for (row, had) in fitted.iter().zip(codec).take(case.shape().0) {
                println!("    {row:>7.3?}   the codec's {had:?}");
            }
        }
    }
    Ok(())
}
