// A BSSN evolution of black holes on a uniform grid, under MPI, that compresses its own output with swae.
//
//     mpirun -n 2 bssn head_on.par [key=value …]
#include "bssn.hpp"
#include "output.hpp"
#include "parameters.hpp"
#include "punctures.hpp"

#include <cmath>
#include <cstdio>
#include <memory>

namespace {

/// Root mean square of the constraints away from the punctures and from the outer boundary, and the least lapse.
void report(const Grid& grid, const Parameters& p, const State& u, double time) {
    double sums[3] = {0, 0, 0}, least = 1e300;
    grid.each([&](int i, int j, int k, size_t at) {
        least = std::min(least, u[ALPHA][at]);
        const double x[3] = {grid.coordinate(0, i), grid.coordinate(1, j), grid.coordinate(2, k)};
        for (double v : x)
            if (std::abs(v) > p.half_width - p.mask_edge) return;
        for (const Puncture& hole : p.punctures)
            if (std::hypot(x[0] - hole.position[0], x[1] - hole.position[1], x[2] - hole.position[2]) < p.mask_radius)
                return;
        const Constraints c = constraints_at(grid, u, at);
        sums[0] += c.hamiltonian * c.hamiltonian;
        sums[1] += c.momentum * c.momentum;
        sums[2] += 1;
    });
    MPI_Allreduce(MPI_IN_PLACE, sums, 3, MPI_DOUBLE, MPI_SUM, grid.comm());
    MPI_Allreduce(MPI_IN_PLACE, &least, 1, MPI_DOUBLE, MPI_MIN, grid.comm());
    const double h = std::sqrt(sums[0] / sums[2]), m = std::sqrt(sums[1] / sums[2]);
    if (!std::isfinite(h) || !std::isfinite(least)) throw std::runtime_error("the evolution has become unstable");
    if (grid.rank() == 0) {
        std::printf("t = %7.3f  hamiltonian %.6e  momentum %.6e  least lapse %.4f\n", time, h, m, least);
        std::fflush(stdout);
    }
}

void run(const Parameters& p) {
    const Grid grid(MPI_COMM_WORLD, p.points, p.half_width);
    const Gauge gauge{p.eta, p.dissipation};
    State u(FIELDS, std::vector<double>(grid.size(), 0.0));
    set_punctures(grid, p.punctures, u);
    auto prepare = [&](State& s) {
        enforce_algebraic_constraints(grid, s);
        grid.exchange(s);
    };
    prepare(u);

    std::vector<std::unique_ptr<OutputFile>> outputs;
    for (const Output& out : p.outputs) outputs.push_back(std::make_unique<OutputFile>(grid, out, p));

    const double dt = p.courant * grid.spacing();
    const int steps = static_cast<int>(std::lround(p.end_time / dt));
    double inside_swae = 0;
    const double begin = MPI_Wtime();
    for (int step = 0;; ++step) {
        if (step % p.report_every == 0 || step == steps) report(grid, p, u, step * dt);
        const double before = MPI_Wtime();
        for (auto& out : outputs) out->write(u, step, step * dt);
        inside_swae += MPI_Wtime() - before;
        if (step == steps) break;
        runge_kutta_4(u, dt, [&](const State& s, State& k) { right_hand_side(grid, gauge, s, k); }, prepare);
    }
    const double before = MPI_Wtime();
    for (auto& out : outputs) out->report();
    outputs.clear();
    const double now = MPI_Wtime();
    inside_swae += now - before;
    if (grid.rank() == 0)
        std::printf("%d steps in %.1f s, of which %.1f s inside swae\n", steps, now - begin, inside_swae);
}

}  // namespace

int main(int argc, char** argv) {
    // Threads, for output in the background.
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    int status = 0;
    try {
        if (argc < 2) throw std::runtime_error("usage: bssn PARAMETERS [key=value …]");
        run(read_parameters(argv[1], {argv + 2, argv + argc}));
    } catch (const std::exception& e) {
        if (rank == 0) std::fprintf(stderr, "bssn: %s\n", e.what());
        status = 1;
    }
    // An error that only one rank has seen would leave the others waiting.
    if (status != 0) MPI_Abort(MPI_COMM_WORLD, status);
    MPI_Finalize();
    return status;
}
