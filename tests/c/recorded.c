// Preloaded into a program that uses swae: notes what reaches a file, in order, so that a test can make the file that a crash
// at any moment leaves. RECORD_OF is the file, RECORD_IN takes the notes, of all ranks: each a line, and the bytes written.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void note(const char *what, off_t at, const void *bytes, size_t size) {
    static int notes = -1;
    if (notes < 0) notes = open(getenv("RECORD_IN"), O_WRONLY | O_CREAT | O_APPEND, 0644);
    char line[96];
    const int n = snprintf(line, sizeof line, "%s %d %lld %zu\n", what, (int)getpid(), (long long)at, size);
    const struct iovec parts[] = {{line, n}, {(void *)bytes, size}};
    // One call: ranks do not come between.
    if (writev(notes, parts, 2) != (ssize_t)(n + size)) abort();
}

static int is_it(int fd) {
    const char *of = getenv("RECORD_OF");
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    return of && n > 0 && (path[n] = 0, !strcmp(path, of));
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) {
    if (is_it(fd)) note("write", at, bytes, size);
    return REAL(pwrite64)(fd, bytes, size, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }

int swae_end_step(void *session);
int swae_end_step(void *session) {
    const int status = REAL(swae_end_step)(session);
    if (!status) note("ended", 0, "", 0);
    return status;
}

int ftruncate64(int fd, off_t size) {
    if (is_it(fd)) note("size", size, "", 0);
    return REAL(ftruncate64)(fd, size);
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd) {
    const int done = REAL(fsync)(fd);
    // Only what had been noted before it began is surely kept; a note before the call would promise too much.
    if (is_it(fd)) note("sync", 0, "", 0);
    return done;
}
