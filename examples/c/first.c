// The minimum of a simulation's output, as in the README: first FILE SETTINGS.
#include <stdio.h>
#include <swae.h>

static float phi[64 * 64 * 64];

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    size_t first = 64 * rank / size, end = 64 * (rank + 1) / size; // this rank's slab of a 64³ grid
    swae_field field = {.size = sizeof field, .name = "phi", .dtype = SWAE_FLOAT32, .data = phi,
                        .shape = {64, 64, 64}, .start = {0, 0, first}, .count = {64, 64, end - first}};
    swae_options options = {.size = sizeof options, .settings = argc > 2 ? argv[2] : "mode = rel; bound = 1e-4"};
    swae_session *out; // with "mode = latent" it stores latents, without a bound
    int bad = swae_open(MPI_COMM_WORLD, argc > 1 ? argv[1] : "first.h5", &options, &out);
    for (int step = 0; step < 2 && !bad; ++step) {
        for (size_t i = 0, z = first; z < end; ++z)
            for (size_t y = 0; y < 64; ++y)
                for (size_t x = 0; x < 64; ++x) phi[i++] = x * (63.0f - x) + y * (63.0f - y) + z * (step + 1.0f);
        swae_begin_step(out, step, 0.5 * step);
        swae_put(out, &field);
        bad = swae_end_step(out); // returns the error of any rank on all ranks
    }
    if (bad) fprintf(stderr, "swae: %s\n", swae_last_error(out));
    swae_close(out);
    MPI_Finalize();
    return bad;
}
