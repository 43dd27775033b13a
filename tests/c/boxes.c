// A hierarchy of boxes on two levels, as AMR codes have them: put, written by two ranks, read back
// by each, and compared. Also settings as text, streams without a session, and log messages. Exits
// with 0 if everything is right.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>

enum { EDGE = 8, GHOSTS = 3, WIDTH = EDGE + 2 * GHOSTS, MEMORY = WIDTH * WIDTH * WIDTH, MOST = 64 };

static int rank, failures;

#define EXPECT(what)                                                          \
    do {                                                                      \
        if (!(what)) {                                                        \
            printf("rank %d, line %d: %s is not so\n", rank, __LINE__, #what); \
            ++failures;                                                       \
        }                                                                     \
    } while (0)

// A smooth field, at the coordinates of a level's point.
static double truth(int field, int step, int level, size_t i, size_t j, size_t k) {
    double h = level ? 0.05 : 0.1;
    return sin(i * h + 0.1 * step) * cos(0.7 * j * h + field) + 0.3 * sin(k * h);
}

typedef struct {
    swae_boxes level_boxes;
    swae_box boxes[MOST];
    double *data[2][MOST]; // of each field
} hierarchy;

// Level 0 is a grid of 32³ points in 64 boxes, of which each rank has every second; level 1 is of
// 64³ points, with 8 boxes on a diagonal, all of them on rank 1.
static void make(hierarchy *h, int level) {
    int n = 0, edge = level ? 64 : 32, along = edge / EDGE;
    h->level_boxes = (swae_boxes){.size = sizeof h->level_boxes, .boxes = h->boxes, .box_size = sizeof(swae_box), .level = level,
                              .shape = {edge, edge, edge}, .spacing = {level ? .05 : .1, level ? .05 : .1, level ? .05 : .1}};
    for (int b = 0; b < along * along * along; ++b) {
        size_t at[3] = {b % along, b / along % along, b / along / along};
        if (level ? !(rank == 1 && at[0] == at[1] && at[1] == at[2]) : b % 2 != rank) continue;
        swae_box *box = &h->boxes[n];
        memset(box, 0, sizeof *box);
        for (int a = 0; a < 3; ++a) {
            box->start[a] = EDGE * at[a], box->count[a] = EDGE;
            box->ghost_lo[a] = box->ghost_hi[a] = GHOSTS;
        }
        for (int f = 0; f < 2; ++f) h->data[f][n] = malloc(MEMORY * sizeof(double));
        ++n;
    }
    h->level_boxes.box_count = n;
}

static void fill(hierarchy *h, int step) {
    for (size_t b = 0; b < h->level_boxes.box_count; ++b)
        for (int f = 0; f < 2; ++f)
            for (int m = 0; m < MEMORY; ++m) h->data[f][b][m] = NAN; // ghosts are not read
    for (size_t b = 0; b < h->level_boxes.box_count; ++b)
        for (int f = 0; f < 2; ++f)
            for (int k = 0; k < EDGE; ++k)
                for (int j = 0; j < EDGE; ++j)
                    for (int i = 0; i < EDGE; ++i) {
                        const size_t *s = h->boxes[b].start;
                        h->data[f][b][((k + GHOSTS) * WIDTH + j + GHOSTS) * WIDTH + i + GHOSTS] =
                            truth(f, step, h->level_boxes.level, s[0] + i, s[1] + j, s[2] + k);
                    }
}

static void read_back(const char *path) {
    static double values[64 * 64 * 64];
    swae_reader *r;
    EXPECT(swae_reader_open(path, &r) == SWAE_OK);
    size_t steps = 0, fields = 0, boxes = 0;
    EXPECT(swae_reader_steps(r, &steps) == SWAE_OK && steps == 4);
    for (size_t s = 0; s < steps; ++s) {
        int64_t step;
        double time;
        EXPECT(swae_reader_step(r, s, &step, &time, &fields) == SWAE_OK);
        EXPECT(step == (int64_t)(10 * s) && time == 0.5 * s);
        // K is written every second step, and on level 0 alone.
        EXPECT(fields == (s % 2 ? 2 : 3));
        swae_field_info info = {.size = sizeof info};
        EXPECT(swae_reader_field(r, s, fields - 1, &info) == SWAE_OK && !strcmp(info.name, "chi@1"));
        EXPECT(info.partial && info.shape[0] == 64 && info.spacing[2] == 0.05 && !strcmp(info.encoding, "abs 1e-6"));
        EXPECT(swae_reader_boxes(r, s, "chi@1", NULL, sizeof(swae_box), 0, &boxes) == SWAE_OK && boxes == 8);
        for (int level = 0; level < 2; ++level) {
            size_t n = level ? 64 : 32, wrong = 0, nan = 0;
            swae_field f = {.size = sizeof f, .name = "chi", .level = level, .dtype = SWAE_FLOAT64, .data = values,
                            .count = {n, n, n}};
            EXPECT(swae_reader_read(r, s, &f) == SWAE_OK);
            for (size_t i = 0; i < n * n * n; ++i)
                if (isnan(values[i])) ++nan;
                else wrong += !(fabs(values[i] - truth(0, s, level, i % n, i / n % n, i / n / n)) <= 1e-6);
            EXPECT(wrong == 0);
            EXPECT(nan == (level ? 64 * 64 * 64 - 8 * 512 : 0));
        }
        // A region, into the middle of an array with ghosts, z fastest.
        swae_field part = {.size = sizeof part, .name = "chi", .dtype = SWAE_FLOAT64, .order = SWAE_ORDER_C, .data = values,
                           .start = {5, 6, 7}, .count = {9, 10, 11}, .ghost_lo = {1, 1, 1}, .ghost_hi = {2, 2, 2}};
        values[0] = -7;
        EXPECT(swae_reader_read(r, s, &part) == SWAE_OK && values[0] == -7);
        double one = values[((3 + 1) * 13 + 4 + 1) * 14 + 5 + 1];
        EXPECT(fabs(one - truth(0, s, 0, 5 + 3, 6 + 4, 7 + 5)) <= 1e-6);
    }
    swae_field f = {.size = sizeof f, .name = "psi", .dtype = SWAE_FLOAT64, .data = values, .count = {1, 1, 1}};
    EXPECT(swae_reader_read(r, 0, &f) == SWAE_ERROR_ARGUMENT && strstr(swae_reader_error(r), "psi"));
    f.name = "chi", f.dtype = SWAE_FLOAT32;
    EXPECT(swae_reader_read(r, 0, &f) == SWAE_ERROR_ARGUMENT && strstr(swae_reader_error(r), "float64"));
    EXPECT(swae_reader_step(r, 9, NULL, NULL, NULL) == SWAE_ERROR_ARGUMENT);
    swae_reader_close(r);
}

// Writes a step of K, of which level 0 is a hundredth of level 1, with settings; gives what ending it gave.
static swae_status write_scaled(hierarchy *levels, const char *path, const char *settings) {
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_RELATIVE, .bound = 1e-2, .settings = settings};
    swae_session *s;
    EXPECT(swae_open(MPI_COMM_WORLD, path, &o, &s) == SWAE_OK && swae_begin_step(s, 0, 0) == SWAE_OK);
    for (int level = 0; level < 2; ++level) {
        fill(&levels[level], 0);
        for (size_t b = 0; level == 0 && b < levels[0].level_boxes.box_count; ++b)
            for (int m = 0; m < MEMORY; ++m) levels[0].data[1][b][m] *= 0.01;
        EXPECT(swae_put_boxes(s, "K", SWAE_FLOAT64, &levels[level].level_boxes, (const void *const *)levels[level].data[1]) == SWAE_OK);
    }
    swae_status ended = swae_end_step(s);
    if (ended) EXPECT(strstr(swae_last_error(s), "settings of fields.Q: no field of this name is put; fields are K"));
    EXPECT(swae_close(s) == SWAE_OK);
    MPI_Barrier(MPI_COMM_WORLD);
    return ended;
}

// The largest error on level 0, as a part of that level's own range.
static double error_of_level_0(const char *path) {
    static double values[32 * 32 * 32];
    swae_field f = {.size = sizeof f, .name = "K", .dtype = SWAE_FLOAT64, .data = values, .count = {32, 32, 32}};
    swae_reader *r;
    EXPECT(swae_reader_open(path, &r) == SWAE_OK && swae_reader_read(r, 0, &f) == SWAE_OK);
    swae_reader_close(r);
    MPI_Barrier(MPI_COMM_WORLD);
    double error = 0, least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < 32 * 32 * 32; ++i) {
        double v = 0.01 * truth(1, 0, 0, i % 32, i / 32 % 32, i / 32 / 32);
        error = fmax(error, fabs(values[i] - v)), least = fmin(least, v), most = fmax(most, v);
    }
    return error / (most - least);
}

// A relative bound refers to the range of a level, or of all levels where settings say so; settings may name levels,
// also some that come later. Settings that name no field are an error.
static void ranges(hierarchy *levels, const char *path) {
    EXPECT(write_scaled(levels, path, "fields.K@7.bound = 1e-9") == SWAE_OK);
    double own = error_of_level_0(path);
    EXPECT(own <= 1e-2 && own > 1e-3);
    EXPECT(write_scaled(levels, path, "range = field") == SWAE_OK);
    double all = error_of_level_0(path);
    EXPECT(all > 0.05 && all <= 2);
    EXPECT(write_scaled(levels, path, "bound = 1e-4; fields.K@0.bound = 1e-1; fields.K@*.effort = fast") == SWAE_OK);
    double named = error_of_level_0(path);
    EXPECT(named > 1e-2 && named <= 1e-1);
    EXPECT(write_scaled(levels, path, "fields.Q.bound = 1") == SWAE_ERROR_ARGUMENT);
}

static void streams(void) {
    static float from[20 * 21 * 22], to[20 * 21 * 22];
    for (int i = 0; i < 20 * 21 * 22; ++i) from[i] = sinf(0.01f * i);
    swae_field f = {.size = sizeof f, .data = from, .count = {20, 21, 22}};
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3, .threads = 1};
    swae_message why;
    size_t room = swae_compress_bound(&f), length = 0, count[3];
    int32_t dtype;
    unsigned char *out = malloc(room);
    EXPECT(swae_compress(&f, &o, out, room, &length, &why) == SWAE_OK && length < room / 4);
    EXPECT(swae_compress(&f, &o, out, 10, &length, &why) == SWAE_ERROR_ARGUMENT && strstr(why.text, "exceed the capacity"));
    EXPECT(swae_stream_shape(out, length, &dtype, &count, NULL) == SWAE_OK);
    EXPECT(dtype == SWAE_FLOAT32 && count[0] == 20 && count[1] == 21 && count[2] == 22);
    f.data = to;
    EXPECT(swae_decompress(out, length, NULL, &f, &why) == SWAE_OK);
    for (int i = 0; i < 20 * 21 * 22; ++i)
        if (!(fabs((double)to[i] - (double)from[i]) <= 1e-3)) { EXPECT(!"the bound is kept"); break; }
    f.count[0] = 19;
    EXPECT(swae_decompress(out, length, NULL, &f, &why) == SWAE_ERROR_ARGUMENT && strstr(why.text, "[20, 21, 22]"));
    for (size_t cut = 0; cut < length; cut += 1 + length / 50) EXPECT(swae_decompress(out, cut, NULL, &f, &why) != SWAE_OK);
    out[length / 2] ^= 1;
    EXPECT(swae_decompress(out, length, NULL, &f, &why) != SWAE_OK);
    free(out);
}

// What is stored where nothing is said: a relative bound of 1e-4. Latents are asked for by name.
static void defaults(void) {
    static float from[20 * 21 * 22];
    for (int i = 0; i < 20 * 21 * 22; ++i) from[i] = sinf(0.01f * i);
    const swae_field f = {.size = sizeof f, .data = from, .count = {20, 21, 22}};
    const swae_options all[] = {{.size = sizeof *all, .mode = SWAE_MODE_RELATIVE, .bound = 1e-4}, {.size = sizeof *all},
        {.size = sizeof *all, .settings = "bound = 1e-4"}, {.size = sizeof *all, .mode = SWAE_MODE_LATENT, .settings = "mode = rel; bound = 1e-4"},
        {.size = sizeof *all, .bound = 1e-2}, {.size = sizeof *all, .mode = SWAE_MODE_LATENT}, {.size = sizeof *all, .mode = SWAE_MODE_RELATIVE}};
    size_t room = swae_compress_bound(&f), length, first;
    unsigned char *out = malloc(room), *expected = malloc(room);
    swae_message why;
    EXPECT(swae_compress(&f, &all[0], expected, room, &first, &why) == SWAE_OK);
    EXPECT(swae_compress(&f, NULL, out, room, &length, &why) == SWAE_OK && length == first && !memcmp(out, expected, length));
    for (int i = 1; i < 4; ++i)
        EXPECT(swae_compress(&f, &all[i], out, room, &length, &why) == SWAE_OK && length == first && !memcmp(out, expected, length));
    for (int i = 4; i < 6; ++i)
        EXPECT(swae_compress(&f, &all[i], out, room, &length, &why) == SWAE_OK && (length != first || memcmp(out, expected, length)));
    EXPECT(swae_compress(&f, &all[6], out, room, &length, &why) == SWAE_ERROR_ARGUMENT && strstr(why.text, "mode 'rel' needs a 'bound'"));
    free(out), free(expected);
}

static void count_message(int32_t level, const char *text, void *user) {
    (void)level;
    if (strlen(text) > 0) ++*(int *)user;
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    static hierarchy levels[2];
    static int messages;
    EXPECT(swae_set_log(count_message, &messages, SWAE_LOG_DEBUG) == SWAE_OK && swae_format_version() >= 1);
    EXPECT(swae_has("hdf5") && !swae_has("teleportation"));
    for (int level = 0; level < 2; ++level) make(&levels[level], level);
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_RELATIVE, .bound = 1e-3, .keyframe_interval = 3,
                      .settings = "fields.chi.mode = abs; fields.chi.bound = 1e-6; fields.K.every = 2; fields.K.levels = [0]"};
    swae_session *s;
    EXPECT(swae_open(MPI_COMM_WORLD, argv[1], &o, &s) == SWAE_OK);
    for (int step = 0; step < 4; ++step) {
        EXPECT(swae_begin_step(s, 10 * step, 0.5 * step) == SWAE_OK);
        for (int level = 0; level < 2; ++level) {
            fill(&levels[level], step);
            const char *names[] = {"chi", "K"};
            for (int f = 0; f < 2; ++f)
                EXPECT(swae_put_boxes(s, names[f], SWAE_FLOAT64, &levels[level].level_boxes,
                                      (const void *const *)levels[level].data[f]) == SWAE_OK);
        }
        swae_status ended = swae_end_step(s);
        if (ended) printf("%s\n", swae_last_error(s));
        EXPECT(ended == SWAE_OK);
    }
    // Boxes that are wrong fail the step on all ranks, with a message.
    swae_begin_step(s, 100, 0);
    size_t box_size = levels[0].level_boxes.box_size;
    levels[0].level_boxes.box_size = 4;
    if (rank == 0) swae_put_boxes(s, "chi", SWAE_FLOAT64, &levels[0].level_boxes, (const void *const *)levels[0].data[0]);
    EXPECT(swae_end_step(s) == SWAE_ERROR_ARGUMENT && strstr(swae_last_error(s), "box_size is 4"));
    swae_begin_step(s, 101, 0);
    if (rank == 1) swae_put_boxes(s, "chi", SWAE_FLOAT64, NULL, NULL);
    EXPECT(swae_end_step(s) == SWAE_ERROR_ARGUMENT && strstr(swae_last_error(s), "swae_boxes is NULL"));
    EXPECT(swae_close(s) == SWAE_OK);
    levels[0].level_boxes.box_size = box_size;
    o.settings = "fields.chi.bund = 1";
    EXPECT(swae_open(MPI_COMM_WORLD, argv[1], &o, &s) == SWAE_ERROR_ARGUMENT);
    EXPECT(strstr(swae_last_error(s), "fields.chi: unknown option 'bund'; did you mean 'bound'?"));
    swae_close(s);
    o.settings = NULL, o.config = "no.toml";
    EXPECT(swae_open(MPI_COMM_WORLD, argv[1], &o, &s) == SWAE_ERROR_ARGUMENT && strstr(swae_last_error(s), "no.toml"));
    swae_close(s);
    MPI_Barrier(MPI_COMM_WORLD);
    read_back(argv[1]);
    char path[1000];
    snprintf(path, sizeof path, "%s.levels.h5", argv[1]);
    ranges(levels, path);
    streams();
    defaults();
    EXPECT(swae_set_log(NULL, NULL, SWAE_LOG_OFF) == SWAE_OK);
    for (int level = 0; level < 2; ++level)
        for (size_t b = 0; b < levels[level].level_boxes.box_count; ++b) free(levels[level].data[0][b]), free(levels[level].data[1][b]);
    MPI_Finalize();
    return failures != 0;
}
