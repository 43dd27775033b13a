// Writes five steps of a rotating ellipsoid, cut into slabs: turning FILE SETTINGS.
#include <math.h>
#include <stdio.h>
#include <swae.h>

static double data[40 * 40 * 40];

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    // Slabs begin at blocks.
    const size_t first = 5 * rank / size * 8, end = 5 * (rank + 1) / size * 8;
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-4, .settings = argv[2]};
    swae_session *s;
    if (argc < 3 || swae_open(MPI_COMM_WORLD, argv[1], &o, &s)) {
        if (rank == 0 && argc > 2) fprintf(stderr, "%s\n", swae_last_error(s));
        MPI_Finalize();
        return 1;
    }
    for (int step = 0; step < 5; ++step) {
        const double c = cos(0.15 * step), d = sin(0.15 * step);
        for (size_t i = 0, z = first; z < end; ++z)
            for (size_t y = 0; y < 40; ++y)
                for (size_t x = 0; x < 40; ++x) {
                    const double p = x - 18.0, q = y - 20.0, r = z - 16.0, u = p * c + q * d, v = q * c - p * d;
                    data[i++] = (1 + 0.05 * step) / (2 + 0.02 * u * u + 0.1 * v * v + 0.03 * r * r);
                }
        swae_field field = {.size = sizeof field, .name = "phi", .dtype = SWAE_FLOAT64, .data = data,
                            .shape = {40, 40, 40}, .start = {0, 0, first}, .count = {40, 40, end - first}};
        swae_begin_step(s, step, 0.5 * step);
        swae_put(s, &field);
        if (swae_end_step(s)) {
            fprintf(stderr, "%s\n", swae_last_error(s));
            return 1;
        }
    }
    const int closed = swae_close(s);
    MPI_Finalize();
    return closed;
}
