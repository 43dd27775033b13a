// Heat that spreads: the exact solution, which writer and reader both know.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

constexpr std::size_t points = 64;

// Temperature of the point x, y, z at a step.
inline double temperature(std::size_t step, std::size_t x, std::size_t y, std::size_t z) {
    const double width = 40.0 + 10.0 * step;
    auto square = [](double v) { return v * v; };
    const double r2 = square(x - 20.0) + square(y - 30.0) + square(z - 40.0);
    return std::pow(40.0 / width, 1.5) * std::exp(-r2 / (2 * width));
}

// First plane of a rank, of `points` planes along z.
inline std::size_t first_plane(int rank, int ranks) { return points * rank / ranks; }
