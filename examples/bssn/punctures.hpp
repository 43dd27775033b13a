// Puncture initial data: black holes at rest or moving, without excision.
#pragma once

#include "bssn.hpp"
#include "parameters.hpp"

/// Sets all 24 fields from the punctures: conformally flat, maximal slice, Bowen–York extrinsic curvature, pre-collapsed
/// lapse α = ψ⁻², no shift. Where all holes are at rest ψ is Brill and Lindquist's, exact; otherwise the Hamiltonian
/// constraint is solved for its regular part (Brandt & Brügmann 1997).
void set_punctures(const Grid& grid, const std::vector<Puncture>& punctures, State& u);
