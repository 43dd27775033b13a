// What a run is asked to do: a text file of `key = value` lines, and `key=value` arguments that override it.
#pragma once

#include <array>
#include <stdexcept>
#include <string>
#include <swae.h>
#include <vector>

/// A black hole: its bare mass, position, momentum and spin (Bowen–York).
struct Puncture {
    double mass = 0;
    std::array<double, 3> position{}, momentum{}, spin{};
};

/// One output file: `.h5` or `.bp`, raw, latent or within a bound (`rel:1e-4`, `abs:…`, `pwrel:…`, `psnr:60`), every so many
/// time steps.
struct Output {
    std::string path;
    swae_mode mode = SWAE_MODE_DEFAULT;
    double bound = 0;
    int every = 1;
};

struct Parameters {
    int points = 64;         ///< grid points along each axis
    double half_width = 16;  ///< the grid spans [−half_width, half_width]³; units with G = c = 1
    double courant = 0.25;   ///< time step over grid spacing
    double end_time = 10;    ///< in the same units
    double dissipation = 0.2; ///< Kreiss–Oliger coefficient
    double eta = 2;          ///< damping of the Gamma driver; about 2 over the total mass
    double mask_radius = 2;  ///< constraints are reported outside this distance from every puncture …
    double mask_edge = 3;    ///< … and further than this from the outer boundary
    int report_every = 8;    ///< time steps between reports
    std::string model;       ///< swae's model; empty for its default
    std::string swae;        ///< more of swae's options, `asynchronous = encode; fields.K.mode = off` (see swae_options.settings)
    std::vector<Puncture> punctures;
    std::vector<Output> outputs;
};

/// Reads `path`, then the overrides. Throws std::runtime_error naming what it does not understand.
Parameters read_parameters(const std::string& path, const std::vector<std::string>& overrides);
