// Writes seven steps of waves and of their time derivative, cut into slabs: waves FILE SETTINGS.
#include <math.h>
#include <stdio.h>
#include <swae.h>

enum { N = 40, WAVES = 8 };
static double data[2][N * N * N];

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    // Slabs begin at blocks.
    const size_t first = N / 8 * rank / size * 8, end = N / 8 * (rank + 1) / size * 8;
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-4, .settings = argc > 2 ? argv[2] : ""};
    swae_session *s;
    if (argc < 3 || swae_open(MPI_COMM_WORLD, argv[1], &o, &s)) {
        if (rank == 0 && argc > 2) fprintf(stderr, "%s\n", swae_last_error(s));
        MPI_Finalize();
        return 1;
    }
    int bad = 0;
    for (int step = 0; step < 7 && !bad; ++step) {
        for (size_t i = 0, z = first; z < end; ++z)
            for (size_t y = 0; y < N; ++y)
                for (size_t x = 0; x < N; ++x, ++i) {
                    data[0][i] = data[1][i] = 0;
                    for (int k = 1; k <= WAVES; ++k) {
                        const double f = 0.25 + 0.11 * k, at = f * step + 1.7 * k * k;
                        const double place = sin(0.21 * x + 1.7 * k * k) * cos(0.33 * y + 0.7 * k) * sin(0.27 * z + k * k);
                        data[0][i] += sin(at) * place, data[1][i] += f * cos(at) * place;
                    }
                }
        swae_begin_step(s, step, step);
        for (int f = 0; f < 2; ++f) {
            swae_field field = {.size = sizeof field, .name = f ? "w" : "u", .dtype = SWAE_FLOAT64, .data = data[f],
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
