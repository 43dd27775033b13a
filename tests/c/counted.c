// Preloaded into a program that uses swae: counts the library's MPI communication inside the
// program's calls, and prints it. A collective counts once, with the bytes that this rank sends and
// receives; so does a message; so does a call on a file.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

static int inside;
static int64_t steps, collectives, messages, files, given, got;

static int64_t bytes(int64_t n, MPI_Datatype t) {
    int size = 0;
    PMPI_Type_size(t, &size);
    return n * size;
}

static int is_root(int root, MPI_Comm c) {
    int rank;
    PMPI_Comm_rank(c, &rank);
    return rank == root;
}

static int64_t sum(const int *n, MPI_Comm c) {
    int size;
    int64_t all = 0;
    PMPI_Comm_size(c, &size);
    for (int i = 0; i < size; ++i) all += n[i];
    return all;
}

static int size_of(MPI_Comm c) {
    int size;
    PMPI_Comm_size(c, &size);
    return size;
}

static void note(int64_t *kind, int64_t gives, int64_t gets) {
    if (!inside) return;
    ++*kind, given += gives, got += gets;
}

#define COUNTED(name, kind, gives, gets, parameters, arguments) \
    int MPI_##name parameters {                                 \
        note(&kind, gives, gets);                               \
        return PMPI_##name arguments;                           \
    }

COUNTED(Barrier, collectives, 0, 0, (MPI_Comm c), (c))
COUNTED(Bcast, collectives, is_root(r, c) ? bytes(n, t) : 0, is_root(r, c) ? 0 : bytes(n, t),
        (void *b, int n, MPI_Datatype t, int r, MPI_Comm c), (b, n, t, r, c))
COUNTED(Reduce, collectives, bytes(n, t), is_root(r, c) ? bytes(n, t) : 0,
        (const void *s, void *d, int n, MPI_Datatype t, MPI_Op o, int r, MPI_Comm c), (s, d, n, t, o, r, c))
COUNTED(Allreduce, collectives, bytes(n, t), bytes(n, t),
        (const void *s, void *d, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c), (s, d, n, t, o, c))
COUNTED(Gather, collectives, bytes(n, t), is_root(r, c) ? bytes(m, u) * size_of(c) : 0,
        (const void *s, int n, MPI_Datatype t, void *d, int m, MPI_Datatype u, int r, MPI_Comm c), (s, n, t, d, m, u, r, c))
COUNTED(Gatherv, collectives, bytes(n, t), is_root(r, c) ? bytes(sum(m, c), u) : 0,
        (const void *s, int n, MPI_Datatype t, void *d, const int *m, const int *p, MPI_Datatype u, int r, MPI_Comm c),
        (s, n, t, d, m, p, u, r, c))
COUNTED(Allgather, collectives, bytes(n, t), bytes(m, u) * size_of(c),
        (const void *s, int n, MPI_Datatype t, void *d, int m, MPI_Datatype u, MPI_Comm c), (s, n, t, d, m, u, c))
COUNTED(Allgatherv, collectives, bytes(n, t), bytes(sum(m, c), u),
        (const void *s, int n, MPI_Datatype t, void *d, const int *m, const int *p, MPI_Datatype u, MPI_Comm c),
        (s, n, t, d, m, p, u, c))
COUNTED(Scan, collectives, bytes(n, t), bytes(n, t),
        (const void *s, void *d, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c), (s, d, n, t, o, c))
COUNTED(Exscan, collectives, bytes(n, t), bytes(n, t),
        (const void *s, void *d, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c), (s, d, n, t, o, c))
COUNTED(Send, messages, bytes(n, t), 0, (const void *b, int n, MPI_Datatype t, int r, int g, MPI_Comm c), (b, n, t, r, g, c))
COUNTED(Isend, messages, bytes(n, t), 0, (const void *b, int n, MPI_Datatype t, int r, int g, MPI_Comm c, MPI_Request *q),
        (b, n, t, r, g, c, q))
COUNTED(File_write_at, files, 0, 0, (MPI_File f, MPI_Offset o, const void *b, int n, MPI_Datatype t, MPI_Status *s),
        (f, o, b, n, t, s))
COUNTED(File_write_at_all, files, 0, 0, (MPI_File f, MPI_Offset o, const void *b, int n, MPI_Datatype t, MPI_Status *s),
        (f, o, b, n, t, s))
COUNTED(File_read_at, files, 0, 0, (MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *s), (f, o, b, n, t, s))
COUNTED(File_set_size, files, 0, 0, (MPI_File f, MPI_Offset n), (f, n))
COUNTED(File_sync, files, 0, 0, (MPI_File f), (f))

// The program's calls into the library, which a preloaded library intercepts.
#define ENTERED(name, parameters, types, arguments)                                      \
    int name parameters {                                                                \
        static int(*next) types;                                                         \
        if (!next) next = (int(*) types)(uintptr_t)dlsym(RTLD_NEXT, #name);              \
        ++inside;                                                                        \
        const int status = next arguments;                                               \
        --inside;                                                                        \
        return status;                                                                   \
    }

ENTERED(swae_begin_step, (void *s, int64_t n, double t), (void *, int64_t, double), (s, n, t))
ENTERED(swae_put, (void *s, const void *f), (void *, const void *), (s, f))
ENTERED(swae_flush, (void *s), (void *), (s))

int swae_end_step(void *s) {
    static int (*next)(void *);
    if (!next) next = (int (*)(void *))(uintptr_t)dlsym(RTLD_NEXT, "swae_end_step");
    // The first step declares the fields: it costs more than the others.
    if (++steps == 2) collectives = messages = files = given = got = 0;
    ++inside;
    const int status = next(s);
    --inside;
    return status;
}

int MPI_Finalize(void) {
    int64_t mine[5] = {collectives, messages, files, given, got}, most[5], first[2] = {given, got};
    int rank;
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) mine[3] = mine[4] = 0;
    PMPI_Reduce(mine, most, 5, MPI_INT64_T, MPI_MAX, 0, MPI_COMM_WORLD);
    const double n = steps > 1 ? steps - 1 : 1;
    if (rank == 0 && steps > 1)
        printf("counted %g %g %g %g %g %g %g\n", most[0] / n, most[1] / n, most[2] / n, first[0] / n, first[1] / n, most[3] / n,
               most[4] / n);
    fflush(stdout);
    return PMPI_Finalize();
}
