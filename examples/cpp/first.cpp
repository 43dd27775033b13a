// examples/c/first.c in C++: the same fields, the same bytes.
#include <cstdio>
#include <swae.hpp>

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    int rank, size, bad = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    const std::size_t first = 64 * rank / size, end = 64 * (rank + 1) / size;  // this rank's slab of a 64³ grid
    std::vector<float> phi(64 * 64 * (end - first));
    swae::grid grid;
    grid.shape = {64, 64, 64};
    swae::options options;
    options.settings = argc > 2 ? argv[2] : "mode = rel; bound = 1e-4";  // or "mode = latent", without a bound
    try {
        swae::session out(MPI_COMM_WORLD, argc > 1 ? argv[1] : "first.h5", options);
        for (int step = 0; step < 2; ++step) {
            for (std::size_t i = 0, z = first; z < end; ++z)
                for (std::size_t y = 0; y < 64; ++y)
                    for (std::size_t x = 0; x < 64; ++x) phi[i++] = x * (63.0f - x) + y * (63.0f - y) + z * (step + 1.0f);
            out.begin_step(step, 0.5 * step);
            out.put("phi", grid, {0, 0, first}, swae::view(phi.data(), {64, 64, end - first}));
            out.end_step();
        }
        out.close();
    } catch (const swae::error& e) {
        std::fprintf(stderr, "swae: %s\n", e.what());
        bad = 1;
    }
    MPI_Finalize();
    return bad;
}
