// Uses every struct that grows, and prints what comes of it: grown FILE NEXT. Built with a header
// whose structs have one more member, `next`, and -DGROWN, it is a program of a later version, which
// sets that member to NEXT.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>

#ifdef GROWN
#define SET(s, value) ((s).next = (value))
#define GET(s) ((long)(s).next)
#else
#define SET(s, value) ((void)(value))
#define GET(s) 0L
#endif

static double data[16 * 16 * 16], again[16 * 16 * 16];
static unsigned char stream[16 * 16 * 16 * 8 + 64];

static void print(const char *what, swae_status status, const char *message) {
    printf("%s | %d | %s\n", what, status, status ? message : "");
}

// The message is asked for after the call.
static swae_status made;
#define say(what, status, message) (made = (status), print(what, made, message))

// What the library fills in, and memory behind it that is the program's.
#define GUARDED(type)           \
    struct {                    \
        type it;                \
        unsigned char guard[8]; \
    }
static const unsigned char whole[8] = {170, 170, 170, 170, 170, 170, 170, 170};
#define FILL(s) (memset(&(s), 170, sizeof(s)), (s).it.size = sizeof(s).it)
#define GUARD(s) (memcmp((s).guard, whole, 8) ? "broken" : "whole")

static swae_field field(unsigned long next) {
    swae_field f = {.size = sizeof f, .name = "chi", .dtype = SWAE_FLOAT64, .data = data,
                    .shape = {16, 16, 16}, .count = {16, 16, 16}};
    SET(f, next);
    return f;
}

static swae_status put_boxes(swae_session *s, const char *name, unsigned long of_boxes, unsigned long of_box) {
    swae_box box[2] = {{.count = {16, 16, 8}}, {.start = {0, 0, 8}, .count = {16, 16, 8}}};
    SET(box[1], of_box);
    swae_boxes b = {.size = sizeof b, .boxes = box, .box_count = 2, .box_size = sizeof *box, .shape = {16, 16, 16}};
    SET(b, of_boxes);
    const void *values[2] = {data, data + 16 * 16 * 8};
    return swae_put_boxes(s, name, SWAE_FLOAT64, &b, values);
}

static void write_file(const char *path, unsigned long next) {
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE, .threads = 1};
    SET(o, next);
    swae_session *s;
    say("options", swae_open(MPI_COMM_WORLD, path, &o, &s), swae_last_error(s));
    swae_close(s);
    SET(o, 0);
    swae_open(MPI_COMM_WORLD, path, &o, &s);
    swae_field f = field(next);
    swae_begin_step(s, 0, 0);
    say("field", swae_put(s, &f), swae_last_error(s));
    say("boxes", put_boxes(s, "K", next, 0), swae_last_error(s));
    say("box", put_boxes(s, "alpha", 0, next), swae_last_error(s));
    say("step", swae_end_step(s), swae_last_error(s));
    f = field(0);
    swae_begin_step(s, 1, 1);
    swae_put(s, &f);
    put_boxes(s, "alpha", 0, 0);
    say("next step", swae_end_step(s), swae_last_error(s));
    GUARDED(swae_statistics) done;
    FILL(done);
    say("statistics", swae_get_statistics(s, &done.it), swae_last_error(s));
    printf("statistics: size %s, next %ld, guard %s\n", done.it.size == sizeof done.it ? "kept" : "changed", GET(done.it), GUARD(done));
    say("close", swae_close(s), "");
}

static void read_file(const char *path) {
    swae_reader *r;
    size_t steps, boxes;
    say("reader", swae_reader_open(path, &r), swae_reader_error(r));
    swae_reader_steps(r, &steps);
    GUARDED(swae_field_info) info;
    FILL(info);
    say("info", swae_reader_field(r, steps - 1, 0, &info.it), swae_reader_error(r));
    printf("info: %s %s, %zu points, size %s, next %ld, guard %s\n", info.it.name, info.it.encoding, info.it.shape[2],
           info.it.size == sizeof info.it ? "kept" : "changed", GET(info.it), GUARD(info));
    struct {
        swae_box it[2];
        unsigned char guard[8];
    } box;
    memset(&box, 170, sizeof box);
    say("read boxes", swae_reader_boxes(r, steps - 1, "alpha", box.it, sizeof *box.it, 2, &boxes), swae_reader_error(r));
    printf("boxes: %zu, the second at %zu, ghosts %zu, next %ld, guard %s\n", boxes, box.it[1].start[2],
           box.it[1].ghost_hi[2], GET(box.it[1]), GUARD(box));
    swae_field f = field(0);
    f.data = again;
    say("read", swae_reader_read(r, steps - 1, &f), swae_reader_error(r));
    printf("read: %s\n", memcmp(data, again, sizeof data) ? "other values" : "the values");
    swae_reader_close(r);
}

static void in_memory(unsigned long next) {
    swae_field f = field(next);
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_ABSOLUTE};
    size_t length;
    swae_message message;
    say("compress field", swae_compress(&f, &o, stream, sizeof stream, &length, &message), message.text);
    printf("compress bound: %zu\n", swae_compress_bound(&f));
    f = field(0);
    SET(o, next);
    say("compress options", swae_compress(&f, &o, stream, sizeof stream, &length, &message), message.text);
    SET(o, 0);
    swae_compress(&f, &o, stream, sizeof stream, &length, &message);
    memset(again, 0, sizeof again);
    f = field(next);
    f.data = again;
    say("decompress", swae_decompress(stream, length, NULL, &f, &message), message.text);
    f = field(0);
    f.data = again;
    say("decompress again", swae_decompress(stream, length, NULL, &f, &message), message.text);
    printf("decompressed: %s\n", memcmp(data, again, sizeof data) ? "other values" : "the values");
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    const unsigned long next = strtoul(argv[2], NULL, 10);
    for (int i = 0; i < 16 * 16 * 16; ++i) data[i] = 0.001 * i * i;
    write_file(argv[1], next);
    read_file(argv[1]);
    in_memory(next);
    MPI_Finalize();
    return 0;
}
