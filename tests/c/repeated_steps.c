// Ends the last step again and again, as codes do that write their last output twice, and reads what is in the file:
// PATH SETTINGS EXPECTED, where EXPECTED is which of the equal steps counts, "first" or "last". Exits with 0 if
// everything is right.
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <swae.h>

enum { N = 24 };

static int rank, failures;

#define EXPECT(what)                                                          \
    do {                                                                      \
        if (!(what)) {                                                        \
            printf("rank %d, line %d: %s is not so\n", rank, __LINE__, #what); \
            ++failures;                                                       \
        }                                                                     \
    } while (0)

static double truth(int field, int step, int time, size_t i) { return sin(0.01 * i + 0.3 * step + 0.5 * time + field); }

// Settings make v raw and let w be written every second step.
static const char *const names[] = {"u", "w", "v"};

int main(int argc, char **argv) {
    (void)argc;
    int provided;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    static double values[N * N * N];
    const char *path = argv[1];
    int fails = strstr(argv[2], "repeat = error") != NULL, last = !strcmp(argv[3], "last");
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3, .settings = argv[2]};
    swae_session *s;
    EXPECT(swae_open(MPI_COMM_WORLD, path, &o, &s) == SWAE_OK);
    // Step 0 is written twice, steps 1 to 3 once, 4 three times, and 5 again once.
    const int steps[] = {0, 0, 1, 2, 3, 4, 4, 4, 5};
    int time = 0;
    for (int n = 0; n < 9; ++n) {
        time = n && steps[n] == steps[n - 1] ? time + 1 : 0;
        swae_status begun = swae_begin_step(s, steps[n], time);
        EXPECT(begun == (fails && time ? SWAE_ERROR_STATE : SWAE_OK));
        size_t half = N / 2;
        for (int field = 0; field < 3; ++field) {
            for (size_t i = 0; i < half * N * N; ++i) values[i] = truth(field, steps[n], time, i + rank * half * N * N);
            swae_field f = {.size = sizeof f, .name = names[field], .dtype = SWAE_FLOAT64, .data = values, .count = {N, N, half},
                            .shape = {N, N, N}, .start = {0, 0, rank * half}, .spacing = {1, 1, 1}};
            EXPECT(swae_put(s, &f) == SWAE_OK);
        }
        // In the background, the flush says what became of it; what the file has then is whole.
        swae_status ended = swae_end_step(s), flushed = swae_flush(s);
        if (!(fails && time) && (ended || flushed)) printf("%s\n", swae_last_error(s));
        EXPECT((ended ? ended : flushed) == (fails && time ? SWAE_ERROR_STATE : SWAE_OK));
        swae_statistics counts = {.size = sizeof counts};
        EXPECT(swae_get_statistics(s, &counts) == SWAE_OK && counts.steps == (uint64_t)steps[n] + 1);
        size_t written = 0; // fields of all steps
        for (int step = 0; step <= steps[n]; ++step) written += step % 2 ? 2 : 3;
        if (!fails) EXPECT(counts.raw_bytes == written * half * N * N * sizeof(double));
    }
    // A step without fields replaces nothing.
    if (!fails) EXPECT(swae_begin_step(s, 5, 7) == SWAE_OK && swae_end_step(s) == SWAE_OK && swae_flush(s) == SWAE_OK);
    swae_status closed = swae_close(s);
    EXPECT(closed == SWAE_OK);
    MPI_Barrier(MPI_COMM_WORLD);

    swae_reader *r;
    size_t count = 0, fields = 0;
    EXPECT(swae_reader_open(path, &r) == SWAE_OK && swae_reader_steps(r, &count) == SWAE_OK && count == 6);
    for (size_t n = 0; n < count; ++n) {
        int64_t number = -1;
        double at = -1;
        EXPECT(swae_reader_step(r, n, &number, &at, &fields) == SWAE_OK && number == (int64_t)n && fields == (n % 2 ? 2 : 3));
        int counted = !last ? 0 : n == 0 ? 1 : n == 4 ? 2 : 0;
        EXPECT(at == counted);
        for (int field = 0; field < 3; ++field) {
            if (field == 1 && n % 2) continue;
            swae_field f = {.size = sizeof f, .name = names[field], .dtype = SWAE_FLOAT64, .data = values, .count = {N, N, N}};
            EXPECT(swae_reader_read(r, n, &f) == SWAE_OK);
            size_t wrong = 0;
            for (size_t i = 0; i < N * N * N; ++i)
                wrong += !(fabs(values[i] - truth(field, n, counted, i)) <= (field == 2 ? 0 : 1e-3));
            EXPECT(wrong == 0);
        }
    }
    swae_reader_close(r);
    MPI_Finalize();
    return failures != 0;
}
