// Writes steps of three fields, and prints the number of each when it is in the file: steps FILE
// [FIRST END SETTINGS]. Without numbers it runs until it is killed.
#include <stdio.h>
#include <stdlib.h>
#include <swae.h>

static double data[24 * 24 * 24];

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    // Later ranks own more.
    const size_t first = 24 * rank * rank / (size * size), end = 24 * (rank + 1) * (rank + 1) / (size * size);
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3, .threads = 1};
    const int start = argc > 2 ? atoi(argv[2]) : 0, stop = argc > 3 ? atoi(argv[3]) : 1000000;
    o.settings = argc > 4 ? argv[4] : NULL;
    swae_session *s;
    if (argc < 2 || swae_open(MPI_COMM_WORLD, argv[1], &o, &s)) {
        if (rank == 0 && argc > 1) fprintf(stderr, "%s\n", swae_last_error(s));
        MPI_Finalize();
        return 1;
    }
    for (int step = start; step < stop; ++step) {
        const char *names[] = {"chi", "K", "alpha"};
        // The time identifies the run that wrote a step.
        swae_begin_step(s, step, 0.5 * step + start);
        for (int f = 0; f < 3; ++f) {
            for (size_t i = 0, z = first; z < end; ++z)
                for (size_t j = 0; j < 576; ++j, ++i) data[i] = 1e-3 * ((j + f) * (z + 1) % 1000) + step;
            swae_field field = {.size = sizeof field, .name = names[f], .dtype = SWAE_FLOAT64, .data = data,
                                .shape = {24, 24, 24}, .start = {0, 0, first}, .count = {24, 24, end - first}};
            swae_put(s, &field);
        }
        if (swae_end_step(s)) {
            fprintf(stderr, "%s\n", swae_last_error(s));
            return 1;
        }
        if (rank == 0) printf("%d\n", step), fflush(stdout);
    }
    const int closed = swae_close(s);
    MPI_Finalize();
    return closed;
}
