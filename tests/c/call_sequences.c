// Random sequences of calls, right and wrong: call_sequences SECONDS SEED. Each sequence has a few
// handles, arrays and streams, and makes calls in any order: with them, with NULL, with closed and
// invented handles, with sizes, types and shapes that are impossible, with streams and files that
// were changed. What the library cannot know (how large memory is) is always said truly. A status
// must be one of swae_status, and none an internal error; a stream that was not changed must come
// back within its bound. It prints seed and counts; the seed of a sequence that failed runs it first.
#define _DEFAULT_SOURCE // truncate
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>
#include <time.h>
#include <unistd.h>

enum { SESSIONS = 3, READERS = 3, STREAMS = 6, EDGE = 12, POINTS = EDGE * EDGE * EDGE, STATUSES = 11 };

static unsigned long long state, sequence_seed, calls, counts[STATUSES];

// SplitMix64.
static unsigned long long random64(void) {
    unsigned long long z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static size_t below(size_t n) { return (size_t)(random64() % n); }
static int one_in(size_t n) { return below(n) == 0; }

static void failed(const char *what, const char *text) {
    fprintf(stderr, "seed %llu: %s: %s\n", sequence_seed, what, text);
    abort();
}

static void on_crash(int number) {
    char text[80];
    const int length = snprintf(text, sizeof text, "seed %llu: signal %d\n", sequence_seed, number);
    if (write(2, text, length) < 0) _exit(2);
    signal(number, SIG_DFL);
    raise(number);
}

static swae_status counted(const char *call, swae_status status, const char *text) {
    ++calls;
    if ((int)status < 0 || (int)status >= STATUSES) failed(call, "no status");
    if (status == SWAE_ERROR_INTERNAL) failed(call, text);
    if (status != SWAE_OK && text[0] == 0) failed(call, "an error without a message");
    ++counts[status];
    return status;
}

// The message is asked for after the call.
static swae_status made;
#define count(call, status, text) (made = (status), counted(call, made, text))

// The objects of a sequence. What is closed stays, to be used all the same.
static swae_session *sessions[SESSIONS];
static swae_reader *readers[READERS];
static struct stream {
    unsigned char bytes[POINTS * 8 + 64];
    size_t length;
    int dtype, changed;
    size_t count[3];
    double bound, values[POINTS];
} streams[STREAMS];
static double values[POINTS + 1];
static long long step;

static void fill(void *memory, int dtype) {
    const double scale = pow(10, (double)below(12) - 6), wave = below(100) / 50.0;
    const size_t odd = one_in(4) ? below(POINTS) : POINTS;
    for (size_t i = 0; i < POINTS; ++i) {
        const double v = i == odd ? (one_in(2) ? NAN : INFINITY) : scale * sin(wave * i) + scale * (i % EDGE);
        if (dtype == SWAE_FLOAT32) ((float *)memory)[i] = (float)v;
        else ((double *)memory)[i] = v;
    }
}

static const char *const names[] = {"chi", "K", "At_xx", "", "a/b", "..", "x y", "\xff\xfe", NULL,
    "a_name_that_goes_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on"};

// A field of at most EDGE points along each axis, with ghost zones and strides that stay in the memory
// of the values.
static swae_field right_field(void) {
    swae_field f = {.size = sizeof f, .name = names[below(3)], .dtype = one_in(2), .data = values, .order = one_in(2)};
    for (int a = 0; a < 3; ++a) {
        f.count[a] = one_in(20) ? 0 : 1 + below(EDGE - 2);
        f.ghost_lo[a] = below(2), f.ghost_hi[a] = below(2);
        f.start[a] = one_in(4) ? below(4) : 0;
        f.shape[a] = f.start[a] + f.count[a] + (one_in(4) ? below(4) : 0);
        if (f.shape[a] == 0) f.shape[a] = 1;
        f.spacing[a] = 0.5;
    }
    if (one_in(4)) f.stride[0] = EDGE, f.stride[1] = 1, f.stride[2] = EDGE * EDGE;
    f.partial = one_in(2);
    f.level = one_in(6);
    return f;
}

// The same with something wrong that the library can know.
static swae_field any_field(void) {
    swae_field f = right_field();
    const size_t a = below(3);
    switch (below(24)) {
        case 0: f.size = below(400); break;
        case 1: f.name = names[below(10)]; break;
        case 2: f.dtype = (int)random64(); break;
        case 3: f.order = 2 + (int)below(1000); break;
        case 4: f.data = NULL; break;
        case 5: f.data = (const char *)values + 1; break;
        case 6: f.count[a] = SIZE_MAX; break;
        case 7: f.ghost_lo[a] = SIZE_MAX - below(2); break;
        case 8: f.ghost_hi[a] = SIZE_MAX / 2; break;
        case 9: f.stride[0] = 1, f.stride[1] = EDGE, f.stride[2] = 0; break;
        case 10: f.start[a] = SIZE_MAX - below(9); break;
        case 11: f.shape[a] = below(2) ? 0 : SIZE_MAX; break;
        case 12: f.level = -1 - (int)below(9); break;
        case 13: f.spacing[a] = one_in(2) ? NAN : 0; break;
        case 14: f.origin[a] = INFINITY; break;
        default: break;
    }
    // A size that is larger than the struct would be a lie about memory; one that is smaller is none.
    if (f.size > sizeof f) f.size = sizeof f - 8;
    return f;
}

static const char *const settings[] = {NULL, "", "mode = rel; bound = 1e-3", "mode = latent", "mode = psnr; bound = 60",
    "bound = -1", "mode = rel", "mod = rel", "fields.chi.mode = off; fields.K.every = 2", "inter_field = true",
    "storage = datasets; mode = abs; bound = 1e-3", "asynchronous = encode", "fields.[.every = 2", ";;;=", "threads = -1", "\xff",
    "memory = 1e-3; asynchronous = encode", "bound = nan; mode = abs", "keyframe_interval = 1", "levels = [0, 7]"};

static swae_options any_options(void) {
    swae_options o = {.size = sizeof o, .threads = 1, .mode = (int)below(7), .bound = 1e-3, .append = one_in(3)};
    if (one_in(2)) return o;
    if (one_in(3)) o.bound = 0;
    switch (below(20)) {
        case 0: o.size = below(sizeof o); break;
        case 1: o.mode = (int)random64(); break;
        case 2: o.bound = one_in(2) ? -1 : NAN; break;
        case 3: o.latents = (int)below(5) - 1; break;
        case 4: o.model = one_in(2) ? "gr-48" : "no-model"; break;
        case 5: o.threads = (int)below(4) - 1; break;
        case 6: o.keyframe_interval = (int)below(4) - 1; break;
        case 7: o.config = one_in(2) ? "no.toml" : "wrong.toml"; break;
        case 8: o.asynchronous = (int)below(4) - 1; break;
        case 9: o.devices = one_in(2) ? "cpu:2" : "cuda:4095"; break;
        case 10: o.memory = below(100000); break;
        default: o.settings = settings[below(sizeof settings / sizeof *settings)];
    }
    return o;
}

static swae_session *any_session(void) {
    switch (below(24)) {
        case 0: return NULL;
        case 1: return (swae_session *)(size_t)random64();
        case 2: return (swae_session *)readers[below(READERS)];
        default: return sessions[below(SESSIONS)];
    }
}

static swae_reader *any_reader(void) {
    switch (below(24)) {
        case 0: return NULL;
        case 1: return (swae_reader *)(size_t)random64();
        case 2: return (swae_reader *)sessions[below(SESSIONS)];
        default: return readers[below(READERS)];
    }
}

static const char *const paths[] = {"a.h5", "b.h5", "c.h5", "a.h5", "b.h5", "c.npy", "e.npy", "no/such/f.h5", "", "\xff.h5", NULL, "d.vti", "x.txt"};
static const char *any_path(void) { return paths[below(sizeof paths / sizeof *paths)]; }

static void open_session(void) {
    const size_t at = below(SESSIONS);
    swae_close(sessions[at]);
    swae_options o = any_options();
    if (one_in(30)) {
        ++calls;
        if (swae_open(MPI_COMM_WORLD, any_path(), &o, NULL) != SWAE_ERROR_ARGUMENT) failed("swae_open", "without a session");
        return;
    }
    const MPI_Comm comm = one_in(30) ? MPI_COMM_NULL : MPI_COMM_SELF;
    // A file for each, mostly.
    const char *const path = one_in(4) ? any_path() : paths[at];
    const swae_status status = swae_open(comm, path, one_in(8) ? NULL : &o, &sessions[at]);
    count("swae_open", status, swae_last_error(sessions[at]));
}

static void put(void) {
    swae_session *s = any_session();
    const swae_field f = any_field();
    fill(values, SWAE_FLOAT64);
    count("swae_put", swae_put(s, one_in(30) ? NULL : &f), swae_last_error(s));
}

static void put_boxes(void) {
    swae_session *s = any_session();
    swae_box box[4];
    const void *data[4];
    const swae_field first = right_field();
    swae_boxes b = {.size = sizeof b, .boxes = box, .box_count = below(5), .box_size = sizeof *box, .partial = 1,
                    .level = one_in(2), .reserved = one_in(20)};
    for (size_t i = 0; i < 4; ++i) {
        const swae_field f = any_field();
        memcpy(box[i].start, f.start, sizeof f.start), memcpy(box[i].count, f.count, sizeof f.count);
        memcpy(box[i].ghost_lo, f.ghost_lo, sizeof f.start), memcpy(box[i].ghost_hi, f.ghost_hi, sizeof f.start);
        memcpy(box[i].stride, f.stride, sizeof f.stride);
        data[i] = one_in(30) ? NULL : values;
    }
    for (int a = 0; a < 3; ++a) b.shape[a] = 2 * EDGE;
    if (one_in(20)) b.box_size = below(sizeof *box);
    if (one_in(20)) b.boxes = NULL;
    if (one_in(20)) b.size = below(sizeof b);
    fill(values, first.dtype);
    const swae_status status = swae_put_boxes(s, names[below(10)], one_in(20) ? 7 : first.dtype, one_in(30) ? NULL : &b, one_in(30) ? NULL : data);
    count("swae_put_boxes", status, swae_last_error(s));
}

static void begin(void) {
    swae_session *s = any_session();
    if (!one_in(8)) ++step;
    count("swae_begin_step", swae_begin_step(s, one_in(20) ? (int64_t)random64() : step, one_in(20) ? NAN : 0.5 * step), swae_last_error(s));
}

static void end(void) {
    swae_session *s = any_session();
    count("swae_end_step", swae_end_step(s), swae_last_error(s));
}

static void flush(void) {
    swae_session *s = any_session();
    count("swae_flush", swae_flush(s), swae_last_error(s));
}

static void get_statistics(void) {
    swae_session *s = any_session();
    swae_statistics done = {.size = one_in(8) ? below(sizeof done) : sizeof done};
    count("swae_get_statistics", swae_get_statistics(s, one_in(20) ? NULL : &done), swae_last_error(s));
}

static void close_session(void) {
    if (one_in(3)) count("swae_close", swae_close(any_session()), "has none");
}

// Cuts a file, or changes bytes of one that this library alone reads.
static void damage_file(void) {
    const char *const path = one_in(2) ? "e.npy" : "d.vti";
    FILE *file = fopen(path, "r+b");
    if (!file) return;
    fseek(file, 0, SEEK_END);
    const long length = ftell(file);
    for (size_t i = below(4); i > 0 && length > 0; --i) {
        fseek(file, (long)below(one_in(2) ? 128 : (size_t)length) % length, SEEK_SET);
        fputc((int)below(256), file);
    }
    fclose(file);
    if (one_in(4) && truncate(path, (long)below((size_t)length + 1))) failed("truncate", path);
}

// Files that are whole again.
static void write_files(void) {
    const char header[] = "{'descr': '<f8', 'fortran_order': False, 'shape': (12, 12, 12), }";
    FILE *file = fopen("e.npy", "wb");
    fprintf(file, "\x93NUMPY%c%c%c%c%-117s\n", 1, 0, 118, 0, header);
    fwrite(values, sizeof *values, POINTS, file);
    fclose(file);
    file = fopen("d.vti", "wb");
    fprintf(file,
            "<?xml version=\"1.0\"?>\n<VTKFile type=\"ImageData\" version=\"1.0\" byte_order=\"LittleEndian\" header_type=\"UInt64\">\n"
            "<ImageData WholeExtent=\"0 11 0 11 0 11\" Origin=\"0 0 0\" Spacing=\"1 1 1\">\n<Piece Extent=\"0 11 0 11 0 11\"><PointData>\n"
            "<DataArray type=\"Float64\" Name=\"chi\" format=\"appended\" offset=\"0\"/>\n</PointData></Piece></ImageData>\n"
            "<AppendedData encoding=\"raw\">_");
    const unsigned long long bytes = POINTS * sizeof *values;
    fwrite(&bytes, sizeof bytes, 1, file);
    fwrite(values, sizeof *values, POINTS, file);
    fprintf(file, "</AppendedData></VTKFile>\n");
    fclose(file);
}

static void open_reader(void) {
    const size_t at = below(READERS);
    swae_reader_close(readers[at]);
    // A file that a session has open may be incomplete, and is not this library's to read.
    const char *path = one_in(4) ? any_path() : one_in(2) ? "e.npy" : "d.vti";
    count("swae_reader_open", swae_reader_open(path, &readers[at]), swae_reader_error(readers[at]));
}

static void read_step(void) {
    swae_reader *r = any_reader();
    size_t steps = 0, fields = 0, boxes = 0;
    int64_t number;
    double time;
    count("swae_reader_steps", swae_reader_steps(r, one_in(20) ? NULL : &steps), swae_reader_error(r));
    const size_t index = one_in(10) ? below(SIZE_MAX) : steps ? below(steps) : 0;
    count("swae_reader_step", swae_reader_step(r, index, &number, one_in(2) ? NULL : &time, &fields), swae_reader_error(r));
    swae_field_info info = {.size = one_in(10) ? below(sizeof info) : sizeof info};
    const swae_status described = swae_reader_field(r, index, one_in(10) ? below(SIZE_MAX) : fields ? below(fields) : 0, one_in(20) ? NULL : &info);
    count("swae_reader_field", described, swae_reader_error(r));
    const char *const name = described == SWAE_OK && info.name && !one_in(8) ? info.name : names[below(10)];
    swae_box box[3];
    const size_t size = one_in(10) ? below(sizeof *box) : sizeof *box;
    count("swae_reader_boxes", swae_reader_boxes(r, index, name, one_in(4) ? NULL : box, size, below(4), one_in(20) ? NULL : &boxes), swae_reader_error(r));
    swae_field f = any_field();
    if (!one_in(8)) f.name = name, f.level = 0;
    if (described == SWAE_OK && !one_in(8)) f.dtype = info.dtype;
    count("swae_reader_read", swae_reader_read(r, index, one_in(30) ? NULL : &f), swae_reader_error(r));
}

static void compress(void) {
    struct stream *const s = &streams[below(STREAMS)];
    swae_message message = {{0}};
    swae_field f = any_field();
    const swae_options o = any_options();
    fill(values, f.dtype);
    memcpy(s->values, values, sizeof s->values);
    const size_t capacity = one_in(8) ? below(sizeof s->bytes) : sizeof s->bytes;
    const swae_status status = swae_compress(one_in(30) ? NULL : &f, one_in(8) ? NULL : &o, one_in(30) ? NULL : s->bytes, capacity,
                                             one_in(30) ? NULL : &s->length, one_in(8) ? NULL : &message);
    count("swae_compress", status, status && !message.text[0] ? "not asked for" : message.text);
    if (status != SWAE_OK) {
        s->changed = 1;
        return;
    }
    if (s->length > swae_compress_bound(&f)) failed("swae_compress", "more than its bound");
    s->changed = 0, s->dtype = f.dtype;
    memcpy(s->count, f.count, sizeof f.count);
    // Checked where it is easy: of a contiguous box, by its bound alone.
    swae_options plain = {.size = sizeof plain, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-3, .threads = 1};
    f = (swae_field){.size = sizeof f, .dtype = f.dtype, .data = values, .count = {EDGE, EDGE, EDGE}};
    if (one_in(2)) return;
    count("swae_compress", swae_compress(&f, &plain, s->bytes, sizeof s->bytes, &s->length, &message), message.text);
    s->bound = plain.bound;
    memcpy(s->count, f.count, sizeof f.count);
    static double again[POINTS];
    f.data = again;
    if (count("swae_decompress", swae_decompress(s->bytes, s->length, NULL, &f, &message), message.text)) failed("swae_decompress", message.text);
    for (size_t i = 0; i < POINTS; ++i) {
        const double was = s->dtype ? s->values[i] : ((float *)s->values)[i], is = s->dtype ? again[i] : ((float *)again)[i];
        if (!(fabs(was - is) <= s->bound || was == is || (isnan(was) && isnan(is)))) failed("swae_decompress", "a value misses its bound");
    }
}

static void change_stream(void) {
    struct stream *const s = &streams[below(STREAMS)];
    s->changed = 1;
    if (s->length == 0 || s->length > sizeof s->bytes) s->length = below(sizeof s->bytes);
    if (one_in(8)) s->length = below(s->length + 1);
    for (size_t i = below(6); i > 0 && s->length > 0; --i) {
        unsigned char *const byte = &s->bytes[one_in(2) ? below(s->length) : below(s->length < 64 ? s->length : 64)];
        if (one_in(4)) *byte = (unsigned char)below(256);
        else *byte ^= (unsigned char)(1 << below(8));
    }
}

static void decompress(void) {
    struct stream *const s = &streams[below(STREAMS)];
    swae_message message = {{0}};
    swae_field f = any_field();
    int32_t dtype;
    size_t shape[3];
    if (s->length > sizeof s->bytes) s->length = 0;
    const swae_status status = swae_stream_shape(one_in(30) ? NULL : s->bytes, s->length, &dtype, &shape, &message);
    count("swae_stream_shape", status, message.text);
    if (status == SWAE_OK && shape[0] < EDGE - 1 && shape[1] < EDGE - 1 && shape[2] < EDGE - 1)
        if (!one_in(8)) memcpy(f.count, shape, sizeof shape), f.dtype = dtype;
    const char *const model = one_in(20) ? (one_in(2) ? "no-model" : "wrong.toml") : NULL;
    count("swae_decompress", swae_decompress(one_in(30) ? NULL : s->bytes, s->length, model, &f, one_in(30) ? NULL : &message),
          message.text[0] ? message.text : "not asked for");
}

static void received(int level, const char *text, void *user) {
    if (level < 1 || level > 4 || !text || user != values) failed("log", "impossible");
}

static void change_log(void) {
    const int level = (int)below(7) - 1;
    ++calls;
    if ((swae_set_log(one_in(3) ? NULL : received, values, level) == SWAE_OK) != (level >= 0 && level <= 4)) failed("swae_set_log", "level");
    swae_has(one_in(2) ? NULL : "adios2");
    if (!swae_version()[0] || !swae_format_version()) failed("swae_version", "none");
}

static void (*const steps_of_session[])(void) = {begin, put, put, put_boxes, end, end, flush, get_statistics};
static void (*const others[])(void) = {open_session, close_session, open_reader, read_step, read_step, damage_file, write_files,
    compress, compress, change_stream, change_stream, decompress, decompress, decompress, change_log};

static void sequence(void) {
    step = 0;
    write_files();
    for (int i = 0; i < 4; ++i) open_session();
    for (size_t n = 20 + below(60); n > 0; --n) {
        if (one_in(2)) steps_of_session[below(sizeof steps_of_session / sizeof *steps_of_session)]();
        else others[below(sizeof others / sizeof *others)]();
        if (one_in(6)) open_session();
    }
    for (int i = 0; i < SESSIONS; ++i) swae_close(sessions[i]);
    for (int i = 0; i < READERS; ++i) swae_reader_close(readers[i]);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    const int fatal[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
    for (int i = 0; i < 5; ++i) signal(fatal[i], on_crash);
    FILE *wrong = fopen("wrong.toml", "w");
    fprintf(wrong, "mode = [\n");
    fclose(wrong);
    const unsigned long long seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const time_t until = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
    unsigned long long sequences = 0;
    for (; time(NULL) < until || sequences == 0; ++sequences) {
        sequence_seed = state = seed + sequences;
        sequence();
    }
    printf("seed %llu: %llu sequences, %llu calls; by status", seed, sequences, calls);
    for (int i = 0; i < STATUSES; ++i) printf(" %d: %llu", i, counts[i]);
    printf("\n");
    MPI_Finalize();
    return 0;
}
