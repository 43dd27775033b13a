// Preloaded into a program that uses swae: records all that it does to a file, or to the files of a
// folder, in order, so that a test can replay a kill or a power loss at any moment. RECORD_OF is
// the file or folder, RECORD_IN the log of all ranks: for each event a line, and the bytes written.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// One call, so that events of other ranks do not come between.
static void note(const char *what, off_t at, const char *path, const void *bytes, size_t size) {
    static int notes = -1;
    if (notes < 0) notes = open(getenv("RECORD_IN"), O_WRONLY | O_CREAT | O_APPEND, 0644);
    char line[8192];
    const int n = snprintf(line, sizeof line, "%s %d %lld %zu %s\n", what, (int)getpid(), (long long)at, size, path);
    const struct iovec parts[] = {{line, n}, {(void *)bytes, size}};
    if (REAL(writev)(notes, parts, 2) != (ssize_t)(n + size)) abort();
}

static int is_of_it(const char *path) {
    const char *of = getenv("RECORD_OF");
    return of && !strncmp(path, of, strlen(of));
}

static void note_file(const char *what, int fd, off_t at, const void *bytes, size_t size) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = 0;
    if (is_of_it(path)) note(what, at < 0 ? lseek(fd, 0, SEEK_CUR) : at, path, bytes, size);
}

// Whether it is the folder in which the output lies.
static int is_folder_of_it(int fd) {
    char link[32], path[4096] = "", of[4096] = "";
    if (!getenv("RECORD_OF")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0) return 0;
    strncpy(of, getenv("RECORD_OF"), sizeof of - 1);
    return !strcmp(path, dirname(of));
}

static int noted_open(int (*next)(const char *, int, ...), const char *path, int flags, int mode) {
    const int is_new = is_of_it(path) && access(path, F_OK) != 0;
    const int fd = next(path, flags, mode);
    if (fd >= 0 && is_new) note("make", 0, path, "", 0);
    if (fd >= 0 && flags & O_TRUNC && is_of_it(path)) note("size", 0, path, "", 0);
    return fd;
}

#define OPENED(name)                                              \
    int name(const char *path, int flags, ...) {                  \
        va_list more;                                             \
        va_start(more, flags);                                    \
        const int mode = flags & O_CREAT ? va_arg(more, int) : 0; \
        va_end(more);                                             \
        return noted_open(REAL(name), path, flags, mode);         \
    }
OPENED(open)
OPENED(open64)

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) {
    note_file("write", fd, at, bytes, size);
    return REAL(pwrite64)(fd, bytes, size, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }

ssize_t write(int fd, const void *bytes, size_t size) {
    note_file("write", fd, -1, bytes, size);
    return REAL(write)(fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t all = 0;
    for (int i = 0; i < count; ++i) {
        const ssize_t n = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (n < 0) return n;
        all += n;
    }
    return all;
}

int ftruncate64(int fd, off_t size) {
    note_file("size", fd, size, "", 0);
    return REAL(ftruncate64)(fd, size);
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

// What the calling rank wrote before `syncing` is on its disk at `sync`.
static int noted_sync(int (*next)(int), int fd) {
    if (is_folder_of_it(fd)) {
        const int made = next(fd);
        note("made", 0, "-", "", 0);
        return made;
    }
    note_file("syncing", fd, 0, "", 0);
    const int done = next(fd);
    note_file("sync", fd, 0, "", 0);
    return done;
}
int fsync(int fd) { return noted_sync(REAL(fsync), fd); }
int fdatasync(int fd) { return noted_sync(REAL(fdatasync), fd); }

int rename(const char *from, const char *to) {
    // The new name takes the place of the bytes.
    if (is_of_it(from)) note("rename", 0, from, to, strlen(to));
    return REAL(rename)(from, to);
}

int swae_end_step(void *session);
int swae_end_step(void *session) {
    const int status = REAL(swae_end_step)(session);
    if (!status) note("ended", 0, "-", "", 0);
    return status;
}
