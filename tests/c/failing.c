// Writes four steps of two fields, goes on where one fails, and prints what each rank is told:
// failing FILE. A line is "rank step status message"; the last one of a rank has "closed" in place
// of the step.
#include <stdio.h>
#include <swae.h>

enum { N = 24, STEPS = 4 };
static double data[N * N * N];

int main(int argc, char **argv) {
    int rank, ranks;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const size_t first = N * rank / ranks, end = N * (rank + 1) / ranks;
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3, .threads = 1};
    swae_session *s;
    if (argc < 2) return 2;
    const int opened = swae_open(MPI_COMM_WORLD, argv[1], &o, &s);
    for (int step = 0; step < STEPS && !opened; ++step) {
        const char *names[] = {"chi", "K"};
        swae_begin_step(s, step, 0.5 * step);
        for (int f = 0; f < 2; ++f) {
            for (size_t i = 0, z = first; z < end; ++z)
                for (size_t j = 0; j < N * N; ++j, ++i) data[i] = 1e-3 * ((j + f) * (z + 1) % 1000) + step;
            swae_field field = {.size = sizeof field, .name = names[f], .dtype = SWAE_FLOAT64, .data = data,
                                .shape = {N, N, N}, .start = {0, 0, first}, .count = {N, N, end - first}};
            swae_put(s, &field);
        }
        const int status = swae_end_step(s);
        printf("%d %d %d %s\n", rank, step, status, status ? swae_last_error(s) : ""), fflush(stdout);
    }
    const int closed = opened ? opened : (int)swae_close(s);
    printf("%d closed %d %s\n", rank, closed, closed ? swae_last_error(s) : ""), fflush(stdout);
    MPI_Finalize();
    return 0;
}
