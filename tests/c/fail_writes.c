// Preloaded into the ranks of a program: lets writes of one of them to a file, or to the files of a
// folder, fail. Only paths that begin with FAIL_OF count. FAIL_RANK is the rank (of Open MPI's
// COMM_WORLD; all where it is not set), FAIL_AT the number of the first call that fails, from 1,
// FAIL_COUNT how many fail from there on (all where it is not set), FAIL_WITH the errno (28, no
// space), and FAIL_CALLS which calls count: any of w (write), s (fsync), t (truncate), o (open for
// writing), r (rename), a (allocate); "w" where it is not set. FAIL_LOG is a file that gets a line
// "rank number call path" for each call that counts, with " failed" behind it where it did.
//
// With FAIL_AT=0 nothing fails: the log then says which numbers there are.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

static const char *text(const char *name, const char *otherwise) {
    const char *found = getenv(name);
    return found ? found : otherwise;
}

static void note(const char *call, const char *path, long at, int failed) {
    const char *log = getenv("FAIL_LOG");
    if (!log) return;
    char line[4200];
    const int n = snprintf(line, sizeof line, "%ld %ld %s %s%s\n", number("OMPI_COMM_WORLD_RANK", 0), at, call, path,
                           failed ? " failed" : "");
    const int fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd >= 0 && REAL(write)(fd, line, n) != n) abort();
    if (fd >= 0) close(fd);
}

// Whether this call fails; errno then says why.
static int fails(char kind, const char *call, const char *path) {
    static long calls;
    const char *of = getenv("FAIL_OF");
    if (!of || strncmp(path, of, strlen(of)) || !strchr(text("FAIL_CALLS", "w"), kind)) return 0;
    const long rank = number("FAIL_RANK", -1), first = number("FAIL_AT", 1);
    if (rank >= 0 && rank != number("OMPI_COMM_WORLD_RANK", 0)) return 0;
    const long at = __sync_add_and_fetch(&calls, 1);
    const int failed = first > 0 && at >= first && at - first < number("FAIL_COUNT", 1L << 62);
    note(call, path, at, failed);
    if (failed) errno = (int)number("FAIL_WITH", ENOSPC);
    return failed;
}

static int fails_at(char kind, const char *call, int fd) {
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return fails(kind, call, path);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) {
    return fails_at('w', "pwrite", fd) ? -1 : REAL(pwrite64)(fd, bytes, size, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }

ssize_t write(int fd, const void *bytes, size_t size) {
    return fails_at('w', "write", fd) ? -1 : REAL(write)(fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return fails_at('w', "writev", fd) ? -1 : REAL(writev)(fd, parts, count);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) {
    return fails_at('w', "pwritev", fd) ? -1 : REAL(pwritev64)(fd, parts, count, at);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev64(fd, parts, count, at); }

int fsync(int fd) { return fails_at('s', "fsync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_at('s', "fdatasync", fd) ? -1 : REAL(fdatasync)(fd); }

int ftruncate64(int fd, off_t size) { return fails_at('t', "ftruncate", fd) ? -1 : REAL(ftruncate64)(fd, size); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fallocate64(int fd, int mode, off_t at, off_t size) {
    return fails_at('a', "fallocate", fd) ? -1 : REAL(fallocate64)(fd, mode, at, size);
}
int fallocate(int fd, int mode, off_t at, off_t size) { return fallocate64(fd, mode, at, size); }

int rename(const char *from, const char *to) {
    return fails('r', "rename", from) ? -1 : REAL(rename)(from, to);
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = mode_of(flags, rest);
    va_end(rest);
    if (flags & (O_WRONLY | O_RDWR) && fails('o', "open", path)) return -1;
    return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = mode_of(flags, rest);
    va_end(rest);
    if (flags & (O_WRONLY | O_RDWR) && fails('o', "open", path)) return -1;
    return REAL(open)(path, flags, mode);
}
