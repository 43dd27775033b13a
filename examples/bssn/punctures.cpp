#include "punctures.hpp"

#include "stencils.hpp"

#include <algorithm>
#include <cmath>

namespace {

using Vector = std::array<double, 3>;

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Vector cross(const Vector& a, const Vector& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

/// Direction and distance from a puncture.
std::pair<Vector, double> from(const Puncture& hole, const Vector& x) {
    Vector n = {x[0] - hole.position[0], x[1] - hole.position[1], x[2] - hole.position[2]};
    const double r = std::max(std::sqrt(dot(n, n)), 1e-6);
    for (double& v : n) v /= r;
    return {n, r};
}

double brill_lindquist(const std::vector<Puncture>& holes, const Vector& x) {
    double psi = 1;
    for (const Puncture& hole : holes) psi += hole.mass / (2 * from(hole, x).second);
    return psi;
}

/// Bowen and York's conformal extrinsic curvature, xx xy xz yy yz zz.
std::array<double, 6> bowen_york(const std::vector<Puncture>& holes, const Vector& x) {
    std::array<double, 6> a{};
    for (const Puncture& hole : holes) {
        const auto [n, r] = from(hole, x);
        const Vector& p = hole.momentum;
        const double pn = dot(p, n);
        const Vector sn = cross(hole.spin, n);
        int c = 0;
        for (int i = 0; i < 3; ++i)
            for (int j = i; j < 3; ++j, ++c) {
                const double delta = i == j;
                a[c] += 1.5 / (r * r) * (p[i] * n[j] + p[j] * n[i] - (delta - n[i] * n[j]) * pn) +
                        3 / (r * r * r) * (sn[i] * n[j] + sn[j] * n[i]);
            }
    }
    return a;
}

double square(const std::array<double, 6>& a) {
    return a[0] * a[0] + a[3] * a[3] + a[5] * a[5] + 2 * (a[1] * a[1] + a[2] * a[2] + a[4] * a[4]);
}

/// Solves ∇²u + ⅛ ÂᵢⱼÂᵢⱼ (ψ₀ + u)⁻⁷ = 0 with u → 0 as 1/r, by letting a damped wave run into it:
/// ∂ₜu = w, ∂ₜw = ∇²u + source − ηw (Rüter et al. 2018). It needs nothing that the evolution does not have already.
std::vector<double> regular_part(const Grid& grid, const std::vector<double>& psi0, const std::vector<double>& aa) {
    State uw(2, std::vector<double>(grid.size(), 0.0));
    const double h = grid.spacing(), damping = 8 / grid.half_width();
    auto derivative = [&](State& s, State& ds) {
        grid.exchange(s);
        grid.each([&](int i, int j, int k, size_t at) {
            if (at_boundary(grid, i, j, k)) {
                for (int v = 0; v < 2; ++v) ds[v][at] = -outgoing(grid, &s[v][at], 0, i, j, k);
                return;
            }
            const double* f = &s[0][at];
            double laplacian = 0;
            for (int axis = 0; axis < 3; ++axis)
                laplacian += second(f, static_cast<Stride>(grid.stride(axis))) / (h * h);
            ds[0][at] = s[1][at];
            ds[1][at] = laplacian + aa[at] / 8 * std::pow(psi0[at] + s[0][at], -7) - damping * s[1][at];
        });
    };
    for (int step = 0; step < 40 * grid.points(); ++step) {
        runge_kutta_4(uw, 0.4 * h, derivative, [](State&) {});
        if (step % 50 != 49) continue;
        double moving = 0, size = 0;
        grid.each([&](int, int, int, size_t at) {
            moving = std::max(moving, std::abs(uw[1][at]));
            size = std::max(size, std::abs(uw[0][at]));
        });
        double worst[2] = {moving, size};
        MPI_Allreduce(MPI_IN_PLACE, worst, 2, MPI_DOUBLE, MPI_MAX, grid.comm());
        if (worst[0] < 1e-7 * worst[1]) break;
    }
    return uw[0];
}

}  // namespace

void set_punctures(const Grid& grid, const std::vector<Puncture>& punctures, State& u) {
    const bool at_rest = std::all_of(punctures.begin(), punctures.end(), [](const Puncture& hole) {
        return dot(hole.momentum, hole.momentum) == 0 && dot(hole.spin, hole.spin) == 0;
    });
    std::vector<double> psi(grid.size(), 1.0), aa(grid.size(), 0.0);
    auto position = [&](int i, int j, int k) {
        return Vector{grid.coordinate(0, i), grid.coordinate(1, j), grid.coordinate(2, k)};
    };
    grid.each([&](int i, int j, int k, size_t at) {
        psi[at] = brill_lindquist(punctures, position(i, j, k));
        aa[at] = square(bowen_york(punctures, position(i, j, k)));
    });
    if (!at_rest) {
        const std::vector<double> regular = regular_part(grid, psi, aa);
        grid.each([&](int, int, int, size_t at) { psi[at] += regular[at]; });
    }
    for (auto& field : u) std::fill(field.begin(), field.end(), 0.0);
    grid.each([&](int i, int j, int k, size_t at) {
        const std::array<double, 6> a = bowen_york(punctures, position(i, j, k));
        u[CHI][at] = std::pow(psi[at], -4);
        u[ALPHA][at] = std::pow(psi[at], -2);
        for (int c : {0, 3, 5}) u[METRIC + c][at] = 1;
        for (int c = 0; c < 6; ++c) u[A + c][at] = a[c] * std::pow(psi[at], -6);
    });
}
