// Finite differences of fourth order, in units of the grid spacing: f points at the value, s is the stride.
#pragma once

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
