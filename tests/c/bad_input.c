// Misuses the library in every way that a simulation can, on two ranks, and prints status and
// message of each. Between the failures it writes good steps, which must all be in the file.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>

static int rank;
static double data[16 * 16 * 16];

static void say(const char *what, swae_status status, const swae_session *session) {
    printf("%s | rank %d | %d | %s\n", what, rank, status, status ? swae_last_error(session) : "");
    fflush(stdout);
}

// The half of a 16³ grid that this rank owns.
static swae_field half(const char *name) {
    swae_field f = {.size = sizeof f, .name = name, .dtype = SWAE_FLOAT64, .data = data,
                    .shape = {16, 16, 16}, .start = {0, 0, 8 * rank}, .count = {16, 16, 8}};
    return f;
}

static void bad_open(const char *what, const char *path, const swae_options *options) {
    swae_session *s = NULL;
    swae_status status = swae_open(MPI_COMM_WORLD, path, options, &s);
    say(what, status, s);
    swae_close(s);
}

static int next_step = 0;

// A step of one put that may be wrong; the next number is used whether it works or not.
static void step(const char *what, swae_session *s, swae_field field) {
    swae_status put;
    swae_begin_step(s, next_step, 0.5 * next_step);
    ++next_step;
    put = swae_put(s, &field);
    if (put) say(what, put, s);
    say(what, swae_end_step(s), s);
}

int main(int argc, char **argv) {
    swae_session *early;
    const swae_status too_early = swae_open(MPI_COMM_WORLD, argv[1], NULL, &early);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (int i = 0; i < 16 * 16 * 16; ++i) data[i] = 0.001 * i * i;
    const char *path = argv[1];
    say("before MPI", too_early, early);
    swae_close(early);
    swae_session *none;
    const swae_status null = swae_open(MPI_COMM_NULL, path, NULL, &none);
    say("null communicator", null, none);
    swae_close(none);

    swae_options o = {.size = sizeof o, .model = "no-such-model"};
    bad_open("unknown model", path, &o);
    o.model = "missing.safetensors";
    bad_open("missing model", path, &o);
    o.model = "damaged.safetensors";
    bad_open("damaged model", path, &o);
    o = (swae_options){.size = sizeof o, .mode = 77};
    bad_open("unknown mode", path, &o);
    o = (swae_options){.size = sizeof o, .asynchronous = 5};
    bad_open("unknown asynchronous", path, &o);
    o = (swae_options){.size = sizeof o, .effort = 3};
    bad_open("unknown effort", path, &o);
    o = (swae_options){.size = sizeof o, .reserved = 1};
    bad_open("reserved member", path, &o);
    o = (swae_options){.size = sizeof o, .devices = "cuda:4095"};
    bad_open("absent devices", path, &o);
    o = (swae_options){.size = sizeof o, .mode = rank == 1 ? SWAE_MODE_RAW : SWAE_MODE_LATENT};
    bad_open("different options", path, &o);
    o = (swae_options){.size = 3};
    bad_open("size of options", path, &o);
    o = (swae_options){.size = sizeof o, .threads = rank == 1 ? -4 : 0};
    bad_open("one rank's options", path, &o);
    // What one rank alone gets wrong reaches the other, which waits in the same call.
    o = (swae_options){.size = rank == 1 ? 80000 : sizeof o};
    bad_open("one rank's size of options", path, &o);
    o = (swae_options){.size = sizeof o, .config = rank == 1 ? "no.toml" : NULL};
    bad_open("one rank's config", path, &o);
    o = (swae_options){.size = sizeof o, .settings = rank == 1 ? "mod = rel" : NULL};
    bad_open("one rank's settings", path, &o);
    o = (swae_options){.size = sizeof o, .settings = rank == 1 ? "\xff" : NULL};
    bad_open("one rank's text", path, &o);
    o = (swae_options){.size = sizeof o, .mode = SWAE_MODE_RELATIVE};
    bad_open("no bound", path, &o);
    o.bound = -1;
    bad_open("negative bound", path, &o);
    bad_open("one rank's null path", rank == 1 ? NULL : path, NULL);
    bad_open("one rank's path", rank == 1 ? "\xff.h5" : path, NULL);
    swae_session *lonely = NULL;
    const swae_status open_status = swae_open(MPI_COMM_WORLD, path, NULL, rank == 1 ? NULL : &lonely);
    printf("one rank's null session | rank %d | %d | %s\n", rank, open_status, rank == 1 ? "session is NULL" : swae_last_error(lonely));
    swae_close(lonely);
    bad_open("no folder", "no/such/folder/a.h5", NULL);
    bad_open("path is a folder", "folder.h5", NULL);
    bad_open("unknown ending", "a.dat", NULL);
    bad_open("an array's ending", "e.npy", NULL);
    bad_open("null path", NULL, NULL);

    swae_session *s;
    o = (swae_options){.size = sizeof o, .mode = SWAE_MODE_RAW, .settings = "repeat = error"};
    say("open", swae_open(MPI_COMM_WORLD, path, &o, &s), s);
    bad_open("open twice", path, &o);
    step("good", s, half("chi"));

    swae_field f = half("chi");
    say("put outside a step", swae_put(s, &f), s);
    say("end without begin", swae_end_step(s), s);
    swae_begin_step(s, next_step, 0), ++next_step;
    say("step in a step", swae_begin_step(s, next_step, 0), s);
    say("put null", swae_put(s, NULL), s);
    say("step after put null", swae_end_step(s), s);
    say("step goes back", swae_begin_step(s, 0, 0), s);
    say("end of it", swae_end_step(s), s);
    // A mistake of one rank reaches the other, and neither deadlocks.
    swae_begin_step(s, rank == 1 ? 0 : next_step, 0), ++next_step;
    say("one rank goes back", swae_end_step(s), s);
    if (rank == 0) swae_begin_step(s, next_step, 0);
    ++next_step;
    say("one rank begins", swae_end_step(s), s);
    swae_begin_step(s, next_step + rank, 0), next_step += 2;
    say("ranks begin other steps", swae_end_step(s), s);

    f = half("chi"), f.count[2] = rank == 0 ? 9 : 8;
    step("overlap", s, f);
    f = half("chi"), f.count[2] = 7;
    step("hole", s, f);
    f = half("chi"), f.start[0] = 4;
    step("outside", s, f);
    f = half("chi"), f.shape[1] = 0;
    step("empty grid", s, f);
    f = half("chi"), f.data = rank == 1 ? NULL : data;
    step("one rank's null data", s, f);
    f = half("phi"), f.dtype = rank;
    step("mismatched types", s, f);
    step("mismatched fields", s, half(rank ? "chi" : "K"));
    f = half("chi"), f.dtype = 9;
    step("unknown type", s, f);
    f = half("chi"), f.size = 8;
    step("size of field", s, f);
    f = half(NULL);
    step("no name", s, f);
    step("bad name", s, half(""));
    f = half("chi"), f.shape[0] = f.count[0] = 8;
    step("other shape than before", s, f);
    f = half("chi"), f.stride[0] = -1, f.stride[1] = PTRDIFF_MAX, f.stride[2] = 1;
    step("impossible strides", s, f);
    f = half("chi"), f.stride[0] = 1, f.stride[1] = 16;
    step("a stride of zero", s, f);
    f = half("chi"), f.data = (const char *)data + 1;
    step("misaligned", s, f);
    f = half("chi"), f.ghost_lo[0] = (size_t)-1;
    step("impossible ghosts", s, f);

    // A rank with nothing to write is fine, and so is a box without points.
    f = half("chi"), f.start[2] = 0, f.count[2] = 16 * (rank == 0);
    step("good: one rank owns all", s, f);
    swae_begin_step(s, next_step, 0.5 * next_step), ++next_step;
    if (rank == 1) f = half("chi"), f.start[2] = 0, f.count[2] = 16, swae_put(s, &f);
    say("good: one rank puts", swae_end_step(s), s);
    if (rank == 1) swae_begin_step(s, next_step, 0);
    say("one rank flushes in a step", swae_flush(s), s);
    if (rank == 0) swae_begin_step(s, next_step, 0);
    say("flush in a step", swae_flush(s), s);
    swae_put(s, NULL), swae_end_step(s), ++next_step;
    if (rank == 1) swae_begin_step(s, next_step, 0);
    say("close in a step of one rank", swae_close(s), NULL);
    say("put after close", swae_put(s, &f), s);
    say("end after close", swae_end_step(s), s);
    say("close twice", swae_close(s), s);
    swae_reader *r;
    swae_reader_open("no such file", &r);
    swae_reader_close(r);
    printf("read after close | rank %d | %d | %s\n", rank, swae_reader_read(r, 0, &f), swae_reader_error(r));
    say("a reader is no session", swae_end_step((swae_session *)r), (swae_session *)r);
    say("close null", swae_close(NULL), NULL);
    MPI_Finalize();
    return 0;
}
