// Forks between calls, within calls of another thread, and over generations. Each child makes the calls that
// its parent made, within a time limit; a session of its parent's is an error in every call, and a reader of
// its parent's reads. forked FILE
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIDE = 160, POINTS = SIDE * SIDE * SIDE, LIMIT = 100, SMALL = 72 };

static float *values, *decoded;
static unsigned char *stream;
static volatile int stop;

static swae_field box(size_t side, const float *data) {
    return (swae_field){.size = sizeof(swae_field), .name = "phi", .dtype = SWAE_FLOAT32, .data = data,
                        .shape = {side, side, side}, .count = {side, side, side}};
}

static void drop(int level, const char *text, void *user) { (void)level, (void)text, (void)user; }

// A box of so many points along each edge there and back, on all cores; not 0 where anything is wrong.
static int there_and_back(size_t side, unsigned char *to, float *back) {
    swae_options options = {.size = sizeof options, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3};
    swae_message message;
    swae_field field = box(side, values);
    size_t length, wrong = 0;
    if (swae_compress(&field, &options, to, swae_compress_bound(&field), &length, &message)) return 1;
    swae_field out = box(side, back);
    if (swae_decompress(to, length, NULL, &out, &message)) return 2;
    for (size_t i = 0; i < side * side * side; ++i) wrong += !(back[i] - values[i] <= 1e-3f && values[i] - back[i] <= 1e-3f);
    return wrong ? 3 : 0;
}

static int child_ends_well(pid_t child, const char *what) {
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) return printf("%s: no child\n", what), 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 1;
    printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
}

// A child codes as its parent does, and its own child, and that one's.
static int generations(int left) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(LIMIT);
        int bad = there_and_back(left == 3 ? SIDE : SMALL, stream, decoded);
        if (!bad && left > 1) bad = !generations(left - 1);
        _exit(bad);
    }
    return child_ends_well(child, "generations");
}

static void *codes_until_told(void *at) {
    unsigned char *to = malloc(SMALL * SMALL * SMALL * 4 + 64);
    float *back = malloc(SMALL * SMALL * SMALL * 4);
    while (!stop) {
        *(int *)at |= there_and_back(SMALL, to, back);
        swae_set_log(drop, NULL, SWAE_LOG_WARNING);
    }
    free(to), free(back);
    return NULL;
}

// Children of a process one of whose threads is inside a call.
static int forks_within_calls(void) {
    pthread_t thread;
    int bad = 0, good = 1;
    pthread_create(&thread, NULL, codes_until_told, &bad);
    for (int i = 0; i < 40; ++i) {
        usleep(1000 * (i * 7 % 20));
        const pid_t child = fork();
        if (child == 0) {
            alarm(LIMIT);
            bad = swae_set_log(drop, NULL, SWAE_LOG_WARNING) ? 9 : there_and_back(SMALL, stream, decoded);
            _exit(bad);
        }
        good &= child_ends_well(child, "within a call");
    }
    stop = 1;
    pthread_join(thread, NULL);
    return good && !bad;
}

static int reads(swae_reader *reader, size_t step) {
    swae_field field = box(SMALL, decoded);
    memset(decoded, 0, SMALL * SMALL * SMALL * 4);
    const int bad = swae_reader_read(reader, step, &field);
    if (bad) printf("%s\n", swae_reader_error(reader));
    return !bad && decoded[1000] - values[1000] <= 1e-3f && values[1000] - decoded[1000] <= 1e-3f;
}

// What a child makes of its parent's session: the number of calls that were no error of state.
static int calls_on_a_parents_session(swae_session *session) {
    swae_field field = box(SMALL, values);
    swae_statistics statistics = {.size = sizeof statistics};
    int other = 0;
    other += swae_begin_step(session, 9, 0) != SWAE_ERROR_STATE;
    other += swae_put(session, &field) != SWAE_ERROR_STATE;
    other += strstr(swae_last_error(session), "fork") == NULL;
    other += swae_end_step(session) != SWAE_ERROR_STATE;
    other += swae_flush(session) != SWAE_ERROR_STATE;
    other += swae_get_statistics(session, &statistics) != SWAE_ERROR_STATE;
    other += swae_close(session) != SWAE_ERROR_STATE;
    other += swae_close(session) != SWAE_ERROR_STATE;
    return other;
}

static int sessions(const char *path, int asynchronous) {
    swae_options options = {.size = sizeof options, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3, .asynchronous = asynchronous};
    swae_session *session;
    swae_reader *reader;
    swae_field field = box(SMALL, values);
    int bad = swae_open(MPI_COMM_WORLD, path, &options, &session), good = 1;
    for (int step = 0; step < 3; ++step) {
        bad |= swae_begin_step(session, step, step) | swae_put(session, &field);
        // Inside a step, and where one is on its way.
        for (int inside = 1; inside >= 0; --inside) {
            const pid_t child = fork();
            if (child == 0) {
                alarm(LIMIT);
                _exit(calls_on_a_parents_session(session));
            }
            good &= child_ends_well(child, "a parent's session");
            if (inside) bad |= swae_end_step(session);
        }
    }
    bad |= swae_close(session);
    bad |= swae_reader_open(path, &reader) | !reads(reader, 0);
    const pid_t child = fork();
    if (child == 0) {
        alarm(LIMIT);
        const int failed = !reads(reader, 1) || !reads(reader, 2);
        swae_reader_close(reader);
        _exit(failed);
    }
    good &= child_ends_well(child, "a parent's reader");
    bad |= !reads(reader, 2);
    swae_reader_close(reader);
    if (bad) printf("the parent's own session, asynchronous %d\n", asynchronous);
    return good && !bad;
}

int main(int argc, char **argv) {
    int provided, good = 1;
    alarm(5 * LIMIT);
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    values = malloc(POINTS * 4), decoded = malloc(POINTS * 4), stream = malloc(POINTS * 4 + 64);
    for (size_t i = 0; i < POINTS; ++i) values[i] = (float)(i % SIDE * (i / SIDE % SIDE)) * 1e-4f + (float)(i / SIDE / SIDE) * 1e-2f;
    // First while nothing of the library has run, not even its tables.
    good &= forks_within_calls();
    good &= !there_and_back(SIDE, stream, decoded);
    good &= generations(3);
    for (int asynchronous = 0; asynchronous < 3; ++asynchronous) good &= sessions(argv[1], asynchronous);
    good &= !there_and_back(SMALL, stream, decoded);
    printf("%s\n", good ? "every child ended well" : "failed");
    MPI_Finalize();
    return !good;
}
