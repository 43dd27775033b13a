#include "bssn.hpp"

#include "stencils.hpp"

#include <algorithm>
#include <cmath>

namespace {

using Vector = std::array<double, 3>;
using Matrix = std::array<Vector, 3>;
using Tensor3 = std::array<Matrix, 3>;

constexpr int sym[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};  // where xx … zz keep component (i, j)
constexpr double chi_floor = 1e-4;

/// Fields and first derivatives at a point, and what the geometry of the slice is made of.
struct Geometry {
    double chi;
    Vector dchi, gamma;        // ∂χ, Γ̃ⁱ as evolved
    Matrix g, gu, a, dgamma;   // γ̃ᵢⱼ, γ̃ⁱʲ, Ãᵢⱼ, ∂ⱼΓ̃ⁱ as [i][j]
    Tensor3 dg, lower, upper;  // ∂ₖγ̃ᵢⱼ as [k][i][j], Γ̃ᵢⱼₖ, Γ̃ⁱⱼₖ
    Vector gamma_d;            // γ̃ʲᵏ Γ̃ⁱⱼₖ
    Matrix ricci;              // Rᵢⱼ of the physical metric

    Geometry(const Grid& grid, const State& u, size_t at);
};

Vector gradient(const double* f, const Grid& grid) {
    const double h = grid.spacing();
    return {first(f, grid.stride(0)) / h, first(f, grid.stride(1)) / h, first(f, grid.stride(2)) / h};
}

Matrix hessian(const double* f, const Grid& grid) {
    const double hh = grid.spacing() * grid.spacing();
    const Stride s[3] = {static_cast<Stride>(grid.stride(0)), static_cast<Stride>(grid.stride(1)),
                         static_cast<Stride>(grid.stride(2))};
    Matrix m;
    for (int i = 0; i < 3; ++i) {
        m[i][i] = second(f, s[i]) / hh;
        for (int j = 0; j < i; ++j) m[i][j] = m[j][i] = mixed(f, s[i], s[j]) / hh;
    }
    return m;
}

double trace(const Matrix& gu, const Matrix& m) {
    double t = 0;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) t += gu[i][j] * m[i][j];
    return t;
}

Matrix inverse_of_unit_determinant(const Matrix& g) {
    Matrix u;
    u[0][0] = g[1][1] * g[2][2] - g[1][2] * g[1][2];
    u[1][1] = g[0][0] * g[2][2] - g[0][2] * g[0][2];
    u[2][2] = g[0][0] * g[1][1] - g[0][1] * g[0][1];
    u[0][1] = u[1][0] = g[0][2] * g[1][2] - g[0][1] * g[2][2];
    u[0][2] = u[2][0] = g[0][1] * g[1][2] - g[0][2] * g[1][1];
    u[1][2] = u[2][1] = g[0][1] * g[0][2] - g[0][0] * g[1][2];
    return u;
}

Geometry::Geometry(const Grid& grid, const State& u, size_t at) {
    chi = std::max(u[CHI][at], chi_floor);
    dchi = gradient(&u[CHI][at], grid);
    std::array<Matrix, 6> ddg;
    for (int i = 0; i < 3; ++i) {
        gamma[i] = u[GAMMA + i][at];
        dgamma[i] = gradient(&u[GAMMA + i][at], grid);
        for (int j = i; j < 3; ++j) {
            const int c = sym[i][j];
            g[i][j] = g[j][i] = u[METRIC + c][at];
            a[i][j] = a[j][i] = u[A + c][at];
            const Vector d = gradient(&u[METRIC + c][at], grid);
            for (int k = 0; k < 3; ++k) dg[k][i][j] = dg[k][j][i] = d[k];
            ddg[c] = hessian(&u[METRIC + c][at], grid);
        }
    }
    gu = inverse_of_unit_determinant(g);
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j)
            for (int k = 0; k < 3; ++k) lower[i][j][k] = 0.5 * (dg[j][i][k] + dg[k][i][j] - dg[i][j][k]);
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j)
            for (int k = 0; k < 3; ++k) {
                upper[i][j][k] = 0;
                for (int l = 0; l < 3; ++l) upper[i][j][k] += gu[i][l] * lower[l][j][k];
            }
    for (int i = 0; i < 3; ++i) gamma_d[i] = trace(gu, upper[i]);

    // Γ̃ᵏₗᵢ with its middle index raised serves both quadratic terms of the Ricci tensor.
    Tensor3 raised;  // γ̃ˡᵐ Γ̃ᵏₗᵢ as [k][m][i]
    for (int k = 0; k < 3; ++k)
        for (int m = 0; m < 3; ++m)
            for (int i = 0; i < 3; ++i) {
                raised[k][m][i] = 0;
                for (int l = 0; l < 3; ++l) raised[k][m][i] += gu[l][m] * upper[k][l][i];
            }
    const Matrix ddchi = hessian(&u[CHI][at], grid);
    Matrix cov;  // D̃ᵢD̃ⱼχ
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            cov[i][j] = ddchi[i][j];
            for (int k = 0; k < 3; ++k) cov[i][j] -= upper[k][i][j] * dchi[k];
        }
    double dchi2 = 0;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) dchi2 += gu[i][j] * dchi[i] * dchi[j];
    const double along = trace(gu, cov) / (2 * chi) - 3 * dchi2 / (4 * chi * chi);
    for (int i = 0; i < 3; ++i)
        for (int j = i; j < 3; ++j) {
            double r = -0.5 * trace(gu, ddg[sym[i][j]]);
            for (int k = 0; k < 3; ++k) {
                r += 0.5 * (g[k][i] * dgamma[k][j] + g[k][j] * dgamma[k][i]);
                r += 0.5 * gamma_d[k] * (lower[i][j][k] + lower[j][i][k]);
                for (int m = 0; m < 3; ++m)
                    r += raised[k][m][i] * lower[j][k][m] + raised[k][m][j] * lower[i][k][m] +
                         raised[k][m][i] * lower[k][m][j];
            }
            r += cov[i][j] / (2 * chi) - dchi[i] * dchi[j] / (4 * chi * chi) + g[i][j] * along;
            ricci[i][j] = ricci[j][i] = r;
        }
}

Matrix raise_both(const Geometry& q, const Matrix& m) {
    Matrix half{}, up{};
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j)
            for (int k = 0; k < 3; ++k) half[i][j] += q.gu[i][k] * m[k][j];
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j)
            for (int k = 0; k < 3; ++k) up[i][j] += half[i][k] * q.gu[k][j];
    return up;
}

void inside(const Grid& grid, const Gauge& gauge, const State& u, size_t at, State& dudt) {
    const Geometry q(grid, u, at);
    const double alpha = u[ALPHA][at], k = u[K][at];
    const Vector beta = {u[BETA][at], u[BETA + 1][at], u[BETA + 2][at]};
    const Vector dalpha = gradient(&u[ALPHA][at], grid), dk = gradient(&u[K][at], grid);
    Matrix dbeta;  // ∂ⱼβⁱ as [i][j]
    std::array<Matrix, 3> ddbeta;
    for (int i = 0; i < 3; ++i) {
        dbeta[i] = gradient(&u[BETA + i][at], grid);
        ddbeta[i] = hessian(&u[BETA + i][at], grid);
    }
    const double div = dbeta[0][0] + dbeta[1][1] + dbeta[2][2];
    const Matrix au = raise_both(q, q.a);
    double aa = 0;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) aa += q.a[i][j] * au[i][j];

    // DᵢDⱼα with the physical connection.
    Matrix cov = hessian(&u[ALPHA][at], grid);
    double chi_alpha = 0;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) chi_alpha += q.gu[i][j] * q.dchi[i] * dalpha[j];
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            for (int l = 0; l < 3; ++l) cov[i][j] -= q.upper[l][i][j] * dalpha[l];
            cov[i][j] +=
                (q.dchi[i] * dalpha[j] + q.dchi[j] * dalpha[i] - q.g[i][j] * chi_alpha) / (2 * q.chi);
        }

    std::array<double, FIELDS> rhs{};
    rhs[CHI] = 2 / 3. * q.chi * (alpha * k - div);
    rhs[K] = -q.chi * trace(q.gu, cov) + alpha * (aa + k * k / 3);
    rhs[ALPHA] = -2 * alpha * k;

    Matrix source;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) source[i][j] = alpha * q.ricci[i][j] - cov[i][j];
    const double third = trace(q.gu, source) / 3;
    for (int i = 0; i < 3; ++i)
        for (int j = i; j < 3; ++j) {
            double dg = -2 * alpha * q.a[i][j] - 2 / 3. * q.g[i][j] * div;
            double da = q.chi * (source[i][j] - third * q.g[i][j]) + alpha * k * q.a[i][j] -
                        2 / 3. * q.a[i][j] * div;
            for (int l = 0; l < 3; ++l) {
                dg += q.g[i][l] * dbeta[l][j] + q.g[j][l] * dbeta[l][i];
                da += q.a[i][l] * dbeta[l][j] + q.a[j][l] * dbeta[l][i];
                for (int m = 0; m < 3; ++m) da -= 2 * alpha * q.a[i][l] * q.gu[l][m] * q.a[m][j];
            }
            rhs[METRIC + sym[i][j]] = dg;
            rhs[A + sym[i][j]] = da;
        }

    for (int i = 0; i < 3; ++i) {
        double d = trace(q.gu, ddbeta[i]) + 2 / 3. * q.gamma_d[i] * div;
        for (int j = 0; j < 3; ++j) {
            const double ddiv = ddbeta[0][0][j] + ddbeta[1][1][j] + ddbeta[2][2][j];
            d += q.gu[i][j] * ddiv / 3 - q.gamma_d[j] * dbeta[i][j] - 2 * au[i][j] * dalpha[j];
            d -= alpha * (3 * au[i][j] * q.dchi[j] / q.chi + 4 / 3. * q.gu[i][j] * dk[j]);
            for (int l = 0; l < 3; ++l) d += 2 * alpha * q.upper[i][j][l] * au[j][l];
        }
        rhs[GAMMA + i] = d;
        rhs[BETA + i] = 0.75 * u[B + i][at];
        rhs[B + i] = d - gauge.eta * u[B + i][at];  // ∂ₜΓ̃ without its advection, which B has of its own
    }

    const double h = grid.spacing();
    for (int v = 0; v < FIELDS; ++v) {
        const double* f = &u[v][at];
        for (int axis = 0; axis < 3; ++axis) {
            const Stride s = static_cast<Stride>(grid.stride(axis));
            rhs[v] += beta[axis] * upwind(f, s, beta[axis]) / h + gauge.dissipation * dissipate(f, s) / h;
        }
        dudt[v][at] = rhs[v];
    }
}

/// Sommerfeld's condition for all fields: they fall to their values of flat space as they leave.
void boundary(const Grid& grid, const State& u, int i, int j, int k, size_t at, State& dudt) {
    for (int v = 0; v < FIELDS; ++v) {
        const bool one = v == CHI || v == ALPHA || v == METRIC || v == METRIC + 3 || v == METRIC + 5;
        const double speed = v == ALPHA ? std::sqrt(2.) : 1;
        dudt[v][at] = -speed * outgoing(grid, &u[v][at], one ? 1 : 0, i, j, k);
    }
}

}  // namespace

void right_hand_side(const Grid& grid, const Gauge& gauge, const State& u, State& dudt) {
    grid.each([&](int i, int j, int k, size_t at) {
        if (at_boundary(grid, i, j, k)) boundary(grid, u, i, j, k, at, dudt);
        else inside(grid, gauge, u, at, dudt);
    });
}

void enforce_algebraic_constraints(const Grid& grid, State& u) {
    grid.each([&](int, int, int, size_t at) {
        Matrix g, a;
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) {
                g[i][j] = u[METRIC + sym[i][j]][at];
                a[i][j] = u[A + sym[i][j]][at];
            }
        const double det = g[0][0] * (g[1][1] * g[2][2] - g[1][2] * g[1][2]) -
                           g[0][1] * (g[0][1] * g[2][2] - g[1][2] * g[0][2]) +
                           g[0][2] * (g[0][1] * g[1][2] - g[1][1] * g[0][2]);
        const double scale = 1 / std::cbrt(det);
        for (auto& row : g)
            for (double& v : row) v *= scale;
        const double third = trace(inverse_of_unit_determinant(g), a) / 3;
        for (int i = 0; i < 3; ++i)
            for (int j = i; j < 3; ++j) {
                u[METRIC + sym[i][j]][at] = g[i][j];
                u[A + sym[i][j]][at] = a[i][j] - third * g[i][j];
            }
        u[CHI][at] = std::max(u[CHI][at], chi_floor);
        u[ALPHA][at] = std::max(u[ALPHA][at], chi_floor);
    });
}

Constraints constraints_at(const Grid& grid, const State& u, size_t at) {
    const Geometry q(grid, u, at);
    const double k = u[K][at];
    const Vector dk = gradient(&u[K][at], grid);
    const Matrix au = raise_both(q, q.a);
    Tensor3 da;  // ∂ₖÃᵢⱼ as [k][i][j]
    double aa = 0;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            aa += q.a[i][j] * au[i][j];
            const Vector d = gradient(&u[A + sym[i][j]][at], grid);
            for (int l = 0; l < 3; ++l) da[l][i][j] = d[l];
        }
    Constraints c{q.chi * trace(q.gu, q.ricci) + 2 / 3. * k * k - aa, 0};
    for (int i = 0; i < 3; ++i) {
        double m = -2 / 3. * dk[i];
        for (int j = 0; j < 3; ++j)
            for (int l = 0; l < 3; ++l) {
                double cov = da[j][l][i] - 1.5 * q.a[i][l] * q.dchi[j] / q.chi;
                for (int n = 0; n < 3; ++n) cov -= q.upper[n][j][l] * q.a[n][i] + q.upper[n][j][i] * q.a[l][n];
                m += q.gu[j][l] * cov;
            }
        c.momentum += m * m;
    }
    c.momentum = std::sqrt(c.momentum);
    return c;
}
