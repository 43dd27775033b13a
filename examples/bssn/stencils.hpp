// Finite differences of fourth order, in units of the grid spacing: f points at the value, s is the stride. And what
// stands in for them at the outer boundary.
#pragma once

#include "grid.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

using Stride = std::ptrdiff_t;

inline double first(const double* f, Stride s) { return (8 * (f[s] - f[-s]) - (f[2 * s] - f[-2 * s])) / 12; }

inline double second(const double* f, Stride s) {
    return (16 * (f[s] + f[-s]) - (f[2 * s] + f[-2 * s]) - 30 * f[0]) / 12;
}

inline double mixed(const double* f, Stride s, Stride t) {
    return (8 * (first(f + t, s) - first(f - t, s)) - (first(f + 2 * t, s) - first(f - 2 * t, s))) / 12;
}

/// First derivative, shifted one point to the side that the shift vector blows from: stable for advection.
inline double upwind(const double* f, Stride s, double speed) {
    const Stride t = speed > 0 ? s : -s;
    const double d = (-3 * f[-t] - 10 * f[0] + 18 * f[t] - 6 * f[2 * t] + f[3 * t]) / 12;
    return speed > 0 ? d : -d;
}

/// Kreiss–Oliger dissipation of sixth derivatives: damps what the grid cannot resolve, at an order above the scheme's.
inline double dissipate(const double* f, Stride s) {
    return ((f[3 * s] + f[-3 * s]) - 6 * (f[2 * s] + f[-2 * s]) + 15 * (f[s] + f[-s]) - 20 * f[0]) / 64;
}

/// Whether some stencil of point (i, j, k) would leave the whole grid.
inline bool at_boundary(const Grid& grid, int i, int j, int k) {
    return std::min({grid.depth(0, i), grid.depth(1, j), grid.depth(2, k)}) < Grid::ghosts;
}

/// ∂ᵣf + (f − f∞)/r at (i, j, k), where f points: what Sommerfeld's condition ∂ₜf = −v (∂ᵣf + (f − f∞)/r) needs, under
/// which everything leaves as a spherical wave. Derivatives of second order, one-sided at the edge.
inline double outgoing(const Grid& grid, const double* f, double far, int i, int j, int k) {
    const int here[3] = {i, j, k};
    const double x[3] = {grid.coordinate(0, i), grid.coordinate(1, j), grid.coordinate(2, k)};
    const double r = std::hypot(x[0], x[1], x[2]);
    double sum = (f[0] - far) / r;
    for (int axis = 0; axis < 3; ++axis) {
        const Stride s = static_cast<Stride>(grid.stride(axis));
        const int place = grid.start()[axis] + here[axis];
        double d = (f[s] - f[-s]) / 2;
        if (place == 0) d = (-3 * f[0] + 4 * f[s] - f[2 * s]) / 2;
        if (place == grid.points() - 1) d = (3 * f[0] - 4 * f[-s] + f[-2 * s]) / 2;
        sum += x[axis] / r * d / grid.spacing();
    }
    return sum;
}
