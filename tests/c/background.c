// Steps in the background, on a disk that the program can stall: it stands between the library and
// the kernel. background FILE SETTINGS (same|stalled|ceiling|fills|breaks|stumbles|quota) [BALLAST]
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <swae.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SIDE = 24, STEPS = 6 };

static int rank;
static volatile int stalled;  // the disk completes no write
static volatile int waiting;  // writes that wait for it
static volatile int broken;   // writes that fail before the disk works again
static int fault = EIO;       // how they fail

// Called before each write to a file of the output; whether the write may succeed.
static int wait_for_disk(int fd) {
    char link[64], name[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, name, sizeof name - 1);
    name[n < 0 ? 0 : n] = 0;
    if (!strstr(name, "output.")) return 1;
    __sync_fetch_and_add(&waiting, 1);
    while (stalled) usleep(1000);
    __sync_fetch_and_sub(&waiting, 1);
    if (broken == 0) return 1;
    --broken;
    errno = fault;
    return 0;
}

#define GUARDED(name, parameters, types, arguments)                  \
    ssize_t name parameters {                                        \
        static ssize_t(*next) types;                                 \
        if (!next) next = (ssize_t(*) types)dlsym(RTLD_NEXT, #name); \
        return wait_for_disk(fd) ? next arguments : -1;              \
    }

GUARDED(write, (int fd, const void *b, size_t n), (int, const void *, size_t), (fd, b, n))
GUARDED(pwrite, (int fd, const void *b, size_t n, off_t o), (int, const void *, size_t, off_t), (fd, b, n, o))
GUARDED(pwrite64, (int fd, const void *b, size_t n, off64_t o), (int, const void *, size_t, off64_t), (fd, b, n, o))
GUARDED(writev, (int fd, const struct iovec *v, int n), (int, const struct iovec *, int), (fd, v, n))
GUARDED(pwritev, (int fd, const struct iovec *v, int n, off_t o), (int, const struct iovec *, int, off_t), (fd, v, n, o))
GUARDED(pwritev64, (int fd, const struct iovec *v, int n, off64_t o), (int, const struct iovec *, int, off64_t), (fd, v, n, o))

static double data[SIDE * SIDE * SIDE];

// One step of two fields; the memory is overwritten as soon as a put returns.
static int write_step(swae_session *s, int size, int step) {
    const char *names[] = {"chi", "K"};
    const size_t first = SIDE * rank / size, end = SIDE * (rank + 1) / size;
    const int begun = swae_begin_step(s, step, 0.5 * step);
    if (begun && rank == 0) printf("begin %d: %s\n", step, swae_last_error(s));
    for (int f = 0; f < 2; ++f) {
        size_t i = 0;
        for (size_t z = first; z < end; ++z)
            for (size_t j = 0; j < SIDE * SIDE; ++j, ++i) data[i] = 1e-3 * ((j + f) * (z + 1) % 1000) + step;
        swae_field field = {.size = sizeof field, .name = names[f], .dtype = SWAE_FLOAT64, .data = data,
                            .shape = {SIDE, SIDE, SIDE}, .start = {0, 0, first}, .count = {SIDE, SIDE, end - first}};
        const int put = swae_put(s, &field);
        if (put) printf("put %d: %s\n", step, swae_last_error(s));
        memset(data, 255, i * sizeof data[0]);
    }
    const int ended = swae_end_step(s);
    if (ended && rank == 0) printf("end %d: %s\n", step, swae_last_error(s));
    fflush(stdout);
    return ended;
}

static void *release(void *unused) {
    usleep(500000);
    stalled = 0;
    return unused;
}

int main(int argc, char **argv) {
    int size, provided;
    if (argc < 4) return 2;
    // The library writes in a thread only where MPI supports threads.
    MPI_Init_thread(&argc, &argv, strstr(argv[2], "write") ? MPI_THREAD_MULTIPLE : MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    const char *scenario = argv[3];
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3, .threads = 1, .settings = argv[2]};
    swae_session *s;
    if (swae_open(MPI_COMM_WORLD, argv[1], &o, &s)) return fprintf(stderr, "%s\n", swae_last_error(s)), 1;
    pthread_t thread;
    int step = 0;
    if (!strcmp(scenario, "stalled")) {
        stalled = 1;
        write_step(s, size, step++);  // deadlocks if it writes now
        if (rank == 0) printf("step 0 has ended on a stalled disk\n");
        if (strstr(argv[2], "write") && rank == 0) {
            // The writing thread has begun by now.
            for (int i = 0; i < 60000 && !waiting; ++i) usleep(1000);
            if (waiting) printf("a write waits\n");
        }
        MPI_Barrier(MPI_COMM_WORLD);
        stalled = 0;
    } else if (!strcmp(scenario, "ceiling")) {
        // The copies of two steps are allowed; the third one has to wait.
        stalled = 1;
        write_step(s, size, step++), write_step(s, size, step++);
        if (rank == 0) printf("two steps have ended on a stalled disk\n");
        pthread_create(&thread, NULL, release, NULL);
        write_step(s, size, step++);
        if (rank == 0) printf("the third step has ended on a %s disk\n", stalled ? "stalled" : "working");
        pthread_join(thread, NULL);
    }
    for (; step < STEPS; ++step) {
        // Space is freed before the last step.
        if (!strcmp(scenario, "fills") && step == STEPS - 1 && rank == 0) unlink(argv[4]);
        MPI_Barrier(MPI_COMM_WORLD);
        // The last rank's disk, or its quota, fails all writes, or only the first.
        const int breaks = !strcmp(scenario, "breaks") || !strcmp(scenario, "quota");
        if (!strcmp(scenario, "quota")) fault = EDQUOT;
        if (step == 2 && rank == size - 1) broken = breaks ? 1000 : !strcmp(scenario, "stumbles");
        write_step(s, size, step);
        broken = 0;
    }
    if (!strcmp(scenario, "same")) {
        swae_statistics done = {.size = sizeof done};
        if (swae_flush(s) || swae_get_statistics(s, &done) || done.steps != STEPS) return fprintf(stderr, "not flushed\n"), 1;
        if (done.stored_bytes == 0 || done.stored_bytes >= done.raw_bytes || done.encoding <= 0 || done.inside <= 0 || done.threads < 1)
            return fprintf(stderr, "strange statistics\n"), 1;
    }
    const int closed = swae_close(s);
    if (rank == 0) printf("close: %d\n", closed);
    fflush(stdout);
    MPI_Finalize();
    return 0;
}
