// Calls while memory is scarce: a child for each limit of the address space. Every call succeeds or says that
// memory is missing, and succeeds when there is memory again. scarce FILE STEP_BYTES. Prints how many calls
// succeeded, failed, and ended their child.
#define _GNU_SOURCE
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIDE = 80, POINTS = SIDE * SIDE * SIDE, WAYS = 8 };

static double *values, *decoded;
static unsigned char *stream;
static swae_reader *reader;

static swae_field box(double *data) {
    return (swae_field){.size = sizeof(swae_field), .name = "phi", .dtype = SWAE_FLOAT64, .data = data,
                        .shape = {SIDE, SIDE, SIDE}, .count = {SIDE, SIDE, SIDE}};
}

static size_t address_space(void) {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%zu", &pages) != 1) exit(3);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void limit_to(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = bytes;
    if (setrlimit(RLIMIT_AS, &limit)) exit(4);
}

// The two calls of a way: 0 or the status of each.
static void calls(int way, int status[2]) {
    static const int modes[] = {SWAE_MODE_ABSOLUTE, SWAE_MODE_LATENT, SWAE_MODE_RAW, SWAE_MODE_PSNR};
    const int mode = modes[way % 4];
    swae_options options = {.size = sizeof options, .mode = mode, .bound = mode == SWAE_MODE_PSNR ? 60 : 1e-6, .threads = 1 + way / 4 * 3};
    swae_message message;
    swae_field field = box(values), out = box(decoded);
    size_t length = 0;
    status[0] = swae_compress(&field, &options, stream, swae_compress_bound(&field), &length, &message);
    if (way == 3) status[1] = swae_reader_read(reader, 0, &out);
    else status[1] = status[0] ? 0 : swae_decompress(stream, length, NULL, &out, &message);
}

// A put without memory fails its step, and that alone: the number of calls that did otherwise.
static int puts_without_memory(const char *path, int mode, const char *settings) {
    swae_options options = {.size = sizeof options, .mode = mode, .bound = 1e-6, .threads = 1, .settings = settings};
    swae_session *session;
    swae_statistics statistics = {.size = sizeof statistics};
    swae_field field = box(values);
    int other = swae_open(MPI_COMM_WORLD, path, &options, &session) != SWAE_OK;
    for (int step = 0; step < 3; ++step) {
        other += swae_begin_step(session, step, step) != SWAE_OK;
        const swae_status expected = step == 1 ? SWAE_ERROR_MEMORY : SWAE_OK;
        malloc_trim(0);
        if (expected) limit_to(address_space() + (1 << 20));
        other += swae_put(session, &field) != expected;
        limit_to(RLIM_INFINITY);
        other += swae_end_step(session) != expected;
    }
    other += swae_get_statistics(session, &statistics) || statistics.steps != 2;
    other += swae_close(session) != SWAE_OK;
    if (other) printf("%s, mode %d: %d calls of a session gave another status\n", settings, mode, other);
    return other;
}

int main(int argc, char **argv) {
    long succeeded = 0, failed = 0, ended = 0, wrong = 0;
    const size_t by = strtoull(argv[argc - 1], NULL, 10);
    // What is freed goes back to the system, and nothing is kept for threads: a limit then leaves what it says.
    mallopt(M_ARENA_MAX, 1), mallopt(M_MMAP_THRESHOLD, 1 << 17), mallopt(M_TRIM_THRESHOLD, 1 << 17);
    MPI_Init(NULL, NULL);
    // Shared, so that it is no part of what the limit leaves.
    const size_t size = POINTS * sizeof(double);
    values = mmap(NULL, 3 * size + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    decoded = values + POINTS, stream = (unsigned char *)(decoded + POINTS);
    for (int i = 0; i < POINTS; ++i) values[i] = sin(0.1 * (i % SIDE)) * cos(0.05 * (i / SIDE % SIDE)) + 0.01 * (i / SIDE / SIDE);
    wrong += puts_without_memory(argv[1], SWAE_MODE_RELATIVE, "");
    wrong += puts_without_memory(argv[1], SWAE_MODE_ABSOLUTE, "storage = datasets");
    // The last one writes streams, which are read below.
    wrong += puts_without_memory(argv[1], SWAE_MODE_ABSOLUTE, "");
    if (swae_reader_open(argv[1], &reader)) return 2;
    for (int way = 0; way < WAYS; ++way) {
        for (size_t more = 0; more < 8 * size; more += by) {
            fflush(stdout);
            const pid_t child = fork();
            if (child == 0) {
                int status[2], again[2];
                malloc_trim(0);
                limit_to(address_space() + more);
                calls(way, status);
                limit_to(RLIM_INFINITY);
                calls(way, again);
                const int is_known = (!status[0] || status[0] == SWAE_ERROR_MEMORY) && (!status[1] || status[1] == SWAE_ERROR_MEMORY);
                _exit(!is_known || again[0] || again[1] ? 3 : status[0] || status[1] ? 1 : 0);
            }
            int status;
            waitpid(child, &status, 0);
            const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            if (code == 0) ++succeeded;
            else if (code == 1) ++failed;
            else if (code == 3) ++wrong, printf("way %d, %zu more bytes: another status, or no recovery\n", way, more);
            else ++ended, printf("way %d, %zu more bytes: %s %d\n", way, more, code < 0 ? "signal" : "exit", code < 0 ? WTERMSIG(status) : code);
        }
    }
    printf("%ld succeeded, %ld failed with a status, %ld wrong, %ld ended\n", succeeded, failed, wrong, ended);
    MPI_Finalize();
    return wrong || ended;
}
