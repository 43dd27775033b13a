// Steps of extreme sizes: sizes boxes FILE EDGE (EDGE³ boxes of 4³ points), sizes fields FILE COUNT,
// sizes values FILE EDGE (a field of EDGE³ values, in memory that is not there), sizes strides FILE
// EDGE (EDGE³ values more than 2³¹ values apart). Prints how long a step took; exits with 0 if
// everything worked and, for values and strides, came back right.
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>
#include <sys/mman.h>

enum { EDGE = 4, POINTS = EDGE * EDGE * EDGE };

static int rank, ranks;

static double truth(size_t x, size_t y, size_t z) { return 1e-2 * (double)((3 * x + 5 * y + 7 * z) % 1000); }

static swae_session *begin(const char *path) {
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3, .keyframe_interval = 1};
    swae_session *s;
    if (swae_open(MPI_COMM_WORLD, path, &o, &s)) {
        fprintf(stderr, "%s\n", swae_last_error(s));
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    swae_begin_step(s, 0, 0);
    return s;
}

static int end(swae_session *s, double begun) {
    int bad = swae_end_step(s);
    if (bad) fprintf(stderr, "%s\n", swae_last_error(s));
    if (rank == 0) printf("%.3f\n", MPI_Wtime() - begun);
    return swae_close(s) || bad;
}

// Every rank has every so manieth box.
static int many_boxes(const char *path, size_t edge) {
    const size_t all = edge * edge * edge, most = all / ranks + 1;
    swae_box *boxes = calloc(most, sizeof *boxes);
    double *values = malloc(most * POINTS * sizeof *values);
    const void **data = malloc(most * sizeof *data);
    size_t mine = 0;
    for (size_t b = rank; b < all; b += ranks, ++mine) {
        const size_t at[3] = {EDGE * (b % edge), EDGE * (b / edge % edge), EDGE * (b / edge / edge)};
        for (int a = 0; a < 3; ++a) boxes[mine].start[a] = at[a], boxes[mine].count[a] = EDGE;
        for (size_t i = 0; i < POINTS; ++i)
            values[mine * POINTS + i] = truth(at[0] + i % EDGE, at[1] + i / EDGE % EDGE, at[2] + i / EDGE / EDGE);
        data[mine] = values + mine * POINTS;
    }
    swae_boxes level = {.size = sizeof level, .boxes = boxes, .box_size = sizeof *boxes, .box_count = mine,
                        .shape = {EDGE * edge, EDGE * edge, EDGE * edge}};
    swae_session *s = begin(path);
    const double begun = MPI_Wtime();
    if (swae_put_boxes(s, "chi", SWAE_FLOAT64, &level, data)) fprintf(stderr, "%s\n", swae_last_error(s));
    const int bad = end(s, begun);
    free(boxes), free(values), free(data);
    return bad;
}

static int many_fields(const char *path, int count) {
    double values[POINTS];
    swae_session *s = begin(path);
    const double begun = MPI_Wtime();
    for (int f = 0; f < count; ++f) {
        char name[32];
        snprintf(name, sizeof name, "field%05d", f);
        for (size_t i = 0; i < POINTS; ++i) values[i] = truth(i % EDGE, i / EDGE % EDGE, i / EDGE / EDGE + EDGE * rank + f);
        swae_field field = {.size = sizeof field, .name = name, .dtype = SWAE_FLOAT64, .data = values,
                            .shape = {EDGE, EDGE, EDGE * ranks}, .start = {0, 0, EDGE * rank}, .count = {EDGE, EDGE, EDGE}};
        swae_put(s, &field);
    }
    return end(s, begun);
}

// What is written to the memory is in the last plane; pages that are only read are all one.
static int many_values(const char *path, size_t edge) {
    const size_t plane = edge * edge, bytes = plane * edge * sizeof(float);
    float *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return perror("mmap"), 1;
    for (size_t i = 0; i < plane; ++i) data[plane * (edge - 1) + i] = truth(i % edge, i / edge, edge - 1);
    swae_session *s = begin(path);
    swae_field field = {.size = sizeof field, .name = "phi", .dtype = SWAE_FLOAT32, .data = data,
                        .shape = {edge, edge, edge}, .count = {edge, edge, edge}};
    const double begun = MPI_Wtime();
    if (swae_put(s, &field)) fprintf(stderr, "%s\n", swae_last_error(s));
    if (end(s, begun)) return 1;
    munmap(data, bytes);

    float *back = malloc(2 * plane * sizeof *back);
    swae_field last = {.size = sizeof last, .name = "phi", .dtype = SWAE_FLOAT32, .data = back,
                       .start = {0, 0, edge - 2}, .count = {edge, edge, 2}};
    swae_reader *r;
    if (swae_reader_open(path, &r) || swae_reader_read(r, 0, &last)) return fprintf(stderr, "%s\n", swae_reader_error(r)), 1;
    swae_reader_close(r);
    size_t wrong = 0;
    for (size_t i = 0; i < 2 * plane; ++i) {
        const double expected = i < plane ? 0 : (float)truth(i % edge, i / edge % edge, edge - 1);
        wrong += !(fabs(back[i] - expected) <= 1e-3);
    }
    free(back);
    return wrong ? fprintf(stderr, "%zu values are wrong\n", wrong), 1 : 0;
}

static int wide_strides(const char *path, size_t edge) {
    const ptrdiff_t stride[3] = {1, 1 << 22, (ptrdiff_t)1 << 31};
    const size_t bytes = edge * (stride[1] + stride[2]) * sizeof(float);
    float *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return perror("mmap"), 1;
    swae_field field = {.size = sizeof field, .name = "phi", .dtype = SWAE_FLOAT32, .data = data,
                        .shape = {edge, edge, edge}, .count = {edge, edge, edge}};
    for (int a = 0; a < 3; ++a) field.stride[a] = stride[a];
#define EACH(what)                                                       \
    for (size_t z = 0; z < edge; ++z)                                    \
        for (size_t y = 0; y < edge; ++y)                                \
            for (size_t x = 0; x < edge; ++x) {                          \
                float *value = &data[x + y * stride[1] + z * stride[2]]; \
                what;                                                    \
            }
    EACH(*value = (float)truth(x, y, z))
    swae_session *s = begin(path);
    const double begun = MPI_Wtime();
    if (swae_put(s, &field)) fprintf(stderr, "%s\n", swae_last_error(s));
    if (end(s, begun)) return 1;
    EACH(*value = NAN)
    swae_reader *r;
    if (swae_reader_open(path, &r) || swae_reader_read(r, 0, &field)) return fprintf(stderr, "%s\n", swae_reader_error(r)), 1;
    swae_reader_close(r);
    int wrong = 0;
    EACH(wrong |= !(fabs(*value - truth(x, y, z)) <= 1.001e-3))
    munmap(data, bytes);
    return wrong;
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    int bad = 2;
    if (argc == 4 && !strcmp(argv[1], "boxes")) bad = many_boxes(argv[2], strtoul(argv[3], NULL, 10));
    if (argc == 4 && !strcmp(argv[1], "fields")) bad = many_fields(argv[2], atoi(argv[3]));
    if (argc == 4 && !strcmp(argv[1], "values")) bad = many_values(argv[2], strtoul(argv[3], NULL, 10));
    if (argc == 4 && !strcmp(argv[1], "strides")) bad = wide_strides(argv[2], strtoul(argv[3], NULL, 10));
    MPI_Finalize();
    return bad;
}
