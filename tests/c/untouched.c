// What the library leaves of a process as it was: handlers and masks of signals, the environment, the folder,
// the mask of new files, open files, threads, and what is printed. untouched FILE
#define _GNU_SOURCE
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 80, POINTS = SIDE * SIDE * SIDE, TEXT = 1 << 16 };

extern char **environ;
static double values[POINTS], decoded[POINTS];

static void add(char *text, const char *line) {
    strncat(text, line, TEXT - strlen(text) - 2);
    strcat(text, "\n");
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

// Open files by number and target, or threads by name, sorted; the folder's own number is left out.
static void list(char *text, const char *folder, int names) {
    char lines[512][300], path[300], target[256];
    int count = 0;
    DIR *open = opendir(folder);
    for (struct dirent *entry; (entry = readdir(open)) && count < 512;) {
        if (entry->d_name[0] == '.' || (!names && atoi(entry->d_name) == dirfd(open))) continue;
        snprintf(path, sizeof path, "%s/%s%s", folder, entry->d_name, names ? "/comm" : "");
        ssize_t length = 0;
        FILE *file = names ? fopen(path, "r") : NULL;
        if (file) length = (ssize_t)fread(target, 1, sizeof target - 1, file), fclose(file);
        else if (!names) length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = 0;
        snprintf(lines[count++], 300, "%.30s %.250s", names ? "thread" : entry->d_name, target);
    }
    closedir(open);
    qsort(lines, (size_t)count, sizeof *lines, by_text);
    for (int i = 0; i < count; ++i) add(text, lines[i]);
}

static char *described(void) {
    char *text = calloc(TEXT, 1), line[4200];
    for (int number = 1; number <= SIGRTMAX; ++number) {
        struct sigaction action;
        if (sigaction(number, NULL, &action)) continue;
        snprintf(line, sizeof line, "signal %d %p %x", number, (void *)action.sa_handler, (unsigned)action.sa_flags);
        add(text, line);
    }
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number <= SIGRTMAX; ++number)
        if (sigismember(&mask, number)) snprintf(line, sizeof line, "blocked %d", number), add(text, line);
    for (char **at = environ; *at; ++at) add(text, *at);
    add(text, getcwd(line, sizeof line));
    const mode_t files = umask(0);
    umask(files);
    snprintf(line, sizeof line, "umask %o", (unsigned)files);
    add(text, line);
    list(text, "/proc/self/fd", 0);
    list(text, "/proc/self/task", 1);
    return text;
}

static int stateless_calls(void) {
    swae_field field = {.size = sizeof field, .name = "phi", .dtype = SWAE_FLOAT64, .data = values,
                        .shape = {SIDE, SIDE, SIDE}, .count = {SIDE, SIDE, SIDE}};
    unsigned char *stream = malloc(swae_compress_bound(&field));
    size_t length;
    int bad = 0;
    for (int mode = SWAE_MODE_LATENT; mode <= SWAE_MODE_PSNR; ++mode) {
        // As many threads as nobody has.
        swae_options options = {.size = sizeof options, .mode = mode, .bound = mode == SWAE_MODE_PSNR ? 60 : 1e-4, .threads = 1000000};
        swae_message message;
        swae_field out = field;
        out.data = decoded;
        bad |= swae_compress(&field, &options, stream, swae_compress_bound(&field), &length, &message);
        bad |= swae_decompress(stream, length, NULL, &out, &message);
    }
    free(stream);
    return bad;
}

static int a_session(const char *path, int asynchronous, const char *settings) {
    swae_options options = {.size = sizeof options, .mode = SWAE_MODE_RELATIVE, .bound = 1e-4, .threads = 1000000,
                            .asynchronous = asynchronous, .settings = settings};
    swae_field field = {.size = sizeof field, .name = "phi", .dtype = SWAE_FLOAT64, .data = values,
                        .shape = {SIDE, SIDE, SIDE}, .count = {SIDE, SIDE, SIDE}};
    swae_session *session;
    swae_reader *reader;
    int bad = swae_open(MPI_COMM_WORLD, path, &options, &session);
    for (int step = 0; step < 3; ++step)
        bad |= swae_begin_step(session, step, step) | swae_put(session, &field) | swae_end_step(session);
    swae_statistics statistics = {.size = sizeof statistics};
    bad |= swae_get_statistics(session, &statistics);
    // The cores of this machine, or the parts that were asked for.
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    bad |= statistics.threads > (unsigned long)(cores > 3 ? cores : 3);
    bad |= swae_close(session);
    bad |= swae_reader_open(path, &reader);
    field.data = decoded;
    for (size_t step = 0; step < 3; ++step) bad |= swae_reader_read(reader, step, &field);
    swae_reader_close(reader);
    return bad;
}

static int same(const char *before, const char *what) {
    char *after = described();
    const int equal = !strcmp(before, after);
    if (!equal) printf("after %s; before:\n%s\nafter:\n%s\n", what, before, after);
    free(after);
    return equal;
}

int main(int argc, char **argv) {
    int provided, good = 1;
    for (int i = 0; i < POINTS; ++i) values[i] = sin(0.1 * (i % SIDE)) + 0.01 * (i / SIDE % SIDE) - 0.02 * (i / SIDE / SIDE);
    char *before = described();
    good &= !stateless_calls();
    good &= same(before, "stateless calls");
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    // MPI itself opens what it needs for files with the first one.
    MPI_File file;
    MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &file);
    MPI_File_close(&file);
    char *with_mpi = described();
    for (int asynchronous = 0; asynchronous < 3; ++asynchronous) {
        const char *settings[] = {"", "devices = cpu:3", "storage = datasets"};
        for (int i = 0; i < 3; ++i) {
            if (a_session(argv[1], asynchronous, settings[i])) good = 0, printf("asynchronous %d, %s failed\n", asynchronous, settings[i]);
            good &= same(with_mpi, settings[i]);
        }
    }
    printf("%s\n", good ? "everything is as it was" : "failed");
    MPI_Finalize();
    return !good;
}
