// The BSSN equations in the moving-puncture form with χ = e^{−4φ} (Campanelli et al. 2006; Baumgarte & Shapiro,
// "Numerical Relativity", ch. 11): fields, right-hand sides, constraints.
#pragma once

#include "grid.hpp"

#include <array>
#include <vector>

/// The 24 evolved fields. Symmetric tensors are stored xx, xy, xz, yy, yz, zz.
enum Field { CHI, K, ALPHA, BETA, B = BETA + 3, GAMMA = B + 3, METRIC = GAMMA + 3, A = METRIC + 6, FIELDS = A + 6 };
constexpr std::array<const char*, FIELDS> field_names = {
    "chi",   "K",     "alpha", "beta_x", "beta_y", "beta_z", "B_x",   "B_y",   "B_z",   "Gt_x",  "Gt_y",  "Gt_z",
    "gt_xx", "gt_xy", "gt_xz", "gt_yy",  "gt_yz",  "gt_zz",  "At_xx", "At_xy", "At_xz", "At_yy", "At_yz", "At_zz"};

using State = std::vector<std::vector<double>>;  ///< one array with ghosts per field

struct Gauge {
    double eta;          ///< damping of the Gamma driver
    double dissipation;  ///< Kreiss–Oliger coefficient
};

/// Time derivative of all fields: the equations inside, Sommerfeld's condition in the outermost three layers. The ghosts
/// of `u` are filled.
void right_hand_side(const Grid& grid, const Gauge& gauge, const State& u, State& dudt);

/// det γ̃ = 1, tr Ã = 0, χ above a floor: what the equations keep only up to rounding and truncation.
void enforce_algebraic_constraints(const Grid& grid, State& u);

struct Constraints {
    double hamiltonian, momentum;
};

/// The constraints at a point whose stencils are complete; momentum is the norm √(Mᵢ Mᵢ).
Constraints constraints_at(const Grid& grid, const State& u, size_t at);

/// The classical fourth-order Runge–Kutta scheme. `f(u, k)` sets k to the derivative of u; `after(u)` sees every stage
/// before its derivative is taken.
template <class F, class After>
void runge_kutta_4(State& u, double dt, F f, After after) {
    const State u0 = u;
    State stage = u, k = u;
    const double at[4] = {0, 0.5, 0.5, 1}, weight[4] = {1 / 6., 1 / 3., 1 / 3., 1 / 6.};
    for (int s = 0; s < 4; ++s) {
        if (s > 0) {
            for (size_t v = 0; v < u.size(); ++v)
                for (size_t i = 0; i < u[v].size(); ++i) stage[v][i] = u0[v][i] + dt * at[s] * k[v][i];
            after(stage);
        }
        f(stage, k);
        for (size_t v = 0; v < u.size(); ++v)
            for (size_t i = 0; i < u[v].size(); ++i) u[v][i] += dt * weight[s] * k[v][i];
    }
    after(u);
}
