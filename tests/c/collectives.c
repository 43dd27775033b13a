// Counts the collective operations of an output step, by any caller (MPI's profiling interface):
// prints how many a step of one field in one box takes, and one of many fields in many boxes.
#include <stdio.h>
#include <swae.h>

static long calls;

#define COUNTED(name, parameters, arguments) \
    int MPI_##name parameters {              \
        ++calls;                             \
        return PMPI_##name arguments;        \
    }

COUNTED(Barrier, (MPI_Comm c), (c))
COUNTED(Bcast, (void *b, int n, MPI_Datatype t, int r, MPI_Comm c), (b, n, t, r, c))
COUNTED(Reduce, (const void *s, void *d, int n, MPI_Datatype t, MPI_Op o, int r, MPI_Comm c), (s, d, n, t, o, r, c))
COUNTED(Allreduce, (const void *s, void *d, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c), (s, d, n, t, o, c))
COUNTED(Gather, (const void *s, int n, MPI_Datatype t, void *d, int m, MPI_Datatype u, int r, MPI_Comm c), (s, n, t, d, m, u, r, c))
COUNTED(Gatherv, (const void *s, int n, MPI_Datatype t, void *d, const int *m, const int *p, MPI_Datatype u, int r, MPI_Comm c),
        (s, n, t, d, m, p, u, r, c))
COUNTED(Allgather, (const void *s, int n, MPI_Datatype t, void *d, int m, MPI_Datatype u, MPI_Comm c), (s, n, t, d, m, u, c))
COUNTED(Allgatherv, (const void *s, int n, MPI_Datatype t, void *d, const int *m, const int *p, MPI_Datatype u, MPI_Comm c),
        (s, n, t, d, m, p, u, c))
COUNTED(Scan, (const void *s, void *d, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c), (s, d, n, t, o, c))
COUNTED(Exscan, (const void *s, void *d, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c), (s, d, n, t, o, c))

static double data[64][512];

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int b = 0; b < 64; ++b)
        for (int i = 0; i < 512; ++i) data[b][i] = 1e-3 * ((i + 7 * b) % 1000);
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_RELATIVE, .bound = 1e-3, .threads = 1};
    swae_session *s;
    if (argc < 4 || swae_open(MPI_COMM_WORLD, argv[1], &o, &s)) return 1;
    int fields = 0, along = 0;
    sscanf(argv[2], "%d", &fields), sscanf(argv[3], "%d", &along);
    // Columns of boxes of 8³ points along y and z, one rank behind the other along x.
    static swae_box boxes[64];
    const void *pointers[64];
    for (int b = 0; b < along * along; ++b) {
        boxes[b] = (swae_box){.start = {8 * rank, 8 * (b % along), 8 * (b / along)}, .count = {8, 8, 8}};
        pointers[b] = data[b];
    }
    swae_boxes described = {.size = sizeof described, .boxes = boxes, .box_count = along * along, .box_size = sizeof boxes[0],
                          .shape = {8 * size, 8 * along, 8 * along}};
    for (int step = 0; step < 4; ++step) {
        calls = 0;
        swae_begin_step(s, step, step);
        for (int f = 0; f < fields; ++f) {
            char name[16];
            snprintf(name, sizeof name, "f%d", f);
            swae_put_boxes(s, name, SWAE_FLOAT64, &described, pointers);
        }
        if (swae_end_step(s)) return fprintf(stderr, "%s\n", swae_last_error(s)), 1;
        if (rank == 0) printf("step %d: %ld\n", step, calls);
    }
    swae_close(s);
    MPI_Finalize();
    return 0;
}
