// Writes four steps of a wave without values in a ball that moves, cut into slabs: masked FILE SETTINGS.
// The field "filled" holds 1e20 there, "nan" NaN.
#include <math.h>
#include <stdio.h>
#include <swae.h>

enum { N = 40 };
static double data[2][N * N * N];

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    // Slabs begin at blocks.
    const size_t first = N / 8 * rank / size * 8, end = N / 8 * (rank + 1) / size * 8;
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_RELATIVE, .bound = 1e-4, .settings = argc > 2 ? argv[2] : ""};
    swae_session *s;
    if (argc < 3 || swae_open(MPI_COMM_WORLD, argv[1], &o, &s)) {
        if (rank == 0 && argc > 2) fprintf(stderr, "%s\n", swae_last_error(s));
        MPI_Finalize();
        return 1;
    }
    int bad = 0;
    for (int step = 0; step < 4 && !bad; ++step) {
        for (size_t i = 0, z = first; z < end; ++z)
            for (size_t y = 0; y < N; ++y)
                for (size_t x = 0; x < N; ++x, ++i) {
                    const double dx = x - 15.0 - 2 * step, dy = y - 20.0, dz = z - 12.0;
                    const int missing = dx * dx + dy * dy + dz * dz < 90;
                    const double value = sin(0.2 * x + 0.1 * step) * cos(0.15 * y) + 0.01 * z;
                    data[0][i] = missing ? 1e20 : value;
                    data[1][i] = missing ? NAN : value;
                }
        swae_begin_step(s, step, step);
        for (int f = 0; f < 2; ++f) {
            swae_field field = {.size = sizeof field, .name = f ? "nan" : "filled", .dtype = SWAE_FLOAT64, .data = data[f],
                                .shape = {N, N, N}, .start = {0, 0, first}, .count = {N, N, end - first}};
            swae_put(s, &field);
        }
        bad = swae_end_step(s);
        if (bad) fprintf(stderr, "%s\n", swae_last_error(s));
    }
    bad |= swae_close(s);
    MPI_Finalize();
    return bad;
}
