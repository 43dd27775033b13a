// Reads what is damaged, or written by a later library, and prints the status of each: damage FILES,
// each of which is opened, listed and read whole, and continued where it is one that a session writes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>

static double values[16 * 16 * 16];

static void print(const char *what, const char *file, swae_status status, const char *message) {
    printf("%s %s | %d | %s\n", what, file, status, status ? message : "");
}

// The message is asked for after the call.
static swae_status made;
#define say(what, file, status, message) (made = (status), print(what, file, made, message))

static void streams(void) {
    static unsigned char stream[sizeof values + 64], damaged[sizeof stream];
    swae_field f = {.size = sizeof f, .dtype = SWAE_FLOAT64, .data = values, .count = {16, 16, 16}};
    swae_message message;
    size_t length, count[3];
    int32_t dtype;
    say("compress", "", swae_compress(&f, NULL, stream, sizeof stream, &length, &message), message.text);
    // A byte of the values, of the header's version, of the magic number; less than there was.
    const struct {
        const char *name;
        size_t at, length;
    } cases[] = {{"values", length - 9, length}, {"version", 4, length}, {"magic", 0, length}, {"cut", 0, length / 2}, {"nothing", 0, 0}};
    for (int i = 0; i < 5; ++i) {
        memcpy(damaged, stream, length);
        if (i < 3) damaged[cases[i].at] ^= 64;
        say("shape", cases[i].name, swae_stream_shape(damaged, cases[i].length, &dtype, &count, &message), message.text);
        say("decompress", cases[i].name, swae_decompress(damaged, cases[i].length, NULL, &f, &message), message.text);
    }
}

// The first error of a file.
static swae_status read_all(swae_reader *r) {
    size_t steps = 0, fields = 0, boxes;
    swae_status bad = swae_reader_steps(r, &steps);
    for (size_t s = 0; s < steps && !bad; ++s) {
        bad = swae_reader_step(r, s, NULL, NULL, &fields);
        for (size_t i = 0; i < fields && !bad; ++i) {
            swae_field_info info = {.size = sizeof info};
            bad = swae_reader_field(r, s, i, &info);
            if (!bad) bad = swae_reader_boxes(r, s, info.name, NULL, sizeof(swae_box), 0, &boxes);
            swae_field f = {.size = sizeof f, .name = info.name, .dtype = SWAE_FLOAT64, .data = values, .count = {16, 16, 16}};
            if (!bad) bad = swae_reader_read(r, s, &f);
        }
    }
    return bad;
}

// A step that continues a file.
static void append(const char *file) {
    swae_options o = {.size = sizeof o, .mode = SWAE_MODE_RAW, .append = 1};
    swae_field f = {.size = sizeof f, .name = "appended", .dtype = SWAE_FLOAT64, .data = values,
                    .shape = {16, 16, 16}, .count = {16, 16, 16}};
    swae_session *s;
    swae_status bad = swae_open(MPI_COMM_WORLD, file, &o, &s);
    if (!bad) {
        swae_begin_step(s, 100, 0);
        swae_put(s, &f);
        bad = swae_end_step(s);
    }
    say("append", file, bad, swae_last_error(s));
    swae_close(s);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    for (int i = 0; i < 16 * 16 * 16; ++i) values[i] = 0.001 * i * i;
    streams();
    for (int i = 1; i < argc; ++i) {
        swae_reader *r;
        swae_status bad = swae_reader_open(argv[i], &r);
        if (!bad) bad = read_all(r);
        say("read", argv[i], bad, swae_reader_error(r));
        swae_reader_close(r);
        const char *extension = strrchr(argv[i], '.');
        if (extension && (!strcmp(extension, ".h5") || !strcmp(extension, ".bp"))) append(argv[i]);
    }
    MPI_Finalize();
    return 0;
}
