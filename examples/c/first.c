// The least that a simulation needs: each rank owns a slab of a 64³ grid and writes two steps of one field.
#include <math.h>
#include <stdio.h>
#include <swae.h>

static float phi[64 * 64 * 64];

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    size_t first = 64 * rank / size, end = 64 * (rank + 1) / size;
    swae_session *out;
    int bad = swae_open(MPI_COMM_WORLD, argc > 1 ? argv[1] : "first.h5", NULL, &out);
    for (int step = 0; step < 2 && !bad; ++step) {
        for (size_t i = 0; i < 64 * 64 * (end - first); ++i)
            phi[i] = sinf(0.1f * (i % 64) + step) * sinf(0.1f * (i / 64 % 64)) * sinf(0.1f * (first + i / 4096));
        swae_field field = {.size = sizeof field, .name = "phi", .dtype = SWAE_FLOAT32, .data = phi,
                            .shape = {64, 64, 64}, .start = {0, 0, first}, .count = {64, 64, end - first}};
        bad = swae_begin_step(out, step, 0.5 * step) || swae_put(out, &field) || swae_end_step(out);
    }
    if (bad) fprintf(stderr, "swae: %s\n", swae_last_error(out));
    bad |= swae_close(out);
    MPI_Finalize();
    return bad;
}
