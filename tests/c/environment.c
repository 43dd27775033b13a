// Every call in every floating-point environment: rounding, traps, denormal numbers as zero. Streams and
// values are those of the default environment, to the bit; the bound holds near underflow; and after each
// call the environment is what it was before. environment FILE
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swae.h>

enum { X = 40, Y = 24, Z = 200, POINTS = X * Y * Z, FIELDS = 7 };

static const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
static int checked, wrong;

static void check(int holds, const char *what, const char *where) {
    ++checked;
    if (holds) return;
    ++wrong;
    printf("%s: %s\n", where, what);
}

static void flush_denormals(void) {
#if defined __x86_64__
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#elif defined __aarch64__
    __builtin_aarch64_set_fpcr64(__builtin_aarch64_get_fpcr64() | 1 << 24);
#endif
}

static void hostile(int rounding, int traps, int flushes) {
    fesetenv(FE_DFL_ENV);
    feraiseexcept(FE_UNDERFLOW);
    fesetround(roundings[rounding]);
    if (traps) feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
    if (flushes) flush_denormals();
}

typedef struct {
    const char *name;
    swae_field field;
    swae_options options;
    unsigned char *stream;
    size_t length;
    void *values;
} sample;

static sample samples[FIELDS];

static size_t bytes(const sample *s) { return POINTS * (s->field.dtype == SWAE_FLOAT32 ? 4 : 8); }

static void *memory(size_t size) {
    void *at = calloc(size, 1);
    if (!at) exit(2);
    return at;
}

static void define(int i, const char *name, int dtype, int mode, double bound, double scale, double offset, int specials) {
    sample *s = &samples[i];
    s->name = name;
    s->field = (swae_field){.size = sizeof s->field, .name = name, .dtype = dtype, .shape = {X, Y, Z}, .count = {X, Y, Z}};
    s->options = (swae_options){.size = sizeof s->options, .mode = mode, .bound = bound};
    void *data = memory(bytes(s));
    for (int k = 0; k < POINTS; ++k) {
        const double v = offset + scale * sin(0.1 * (k % X)) * cos(0.07 * (k / X % Y)) * sin(0.03 * (k / X / Y) + 1);
        const double special = k % 97 ? v : k % 2 ? NAN : -INFINITY;
        if (dtype == SWAE_FLOAT32) ((float *)data)[k] = (float)(specials ? special : v);
        else ((double *)data)[k] = specials ? special : v;
    }
    s->field.data = data;
    s->stream = memory(swae_compress_bound(&s->field));
    s->values = memory(bytes(s));
}

// Compresses into `stream` and decompresses into `values`; the environment stays what it was.
static void code(const sample *s, int threads, unsigned char *stream, size_t *length, void *values, const char *where) {
    swae_options options = s->options;
    options.threads = threads;
    swae_message message;
    fenv_t before, after;
    fegetenv(&before);
    int bad = swae_compress(&s->field, &options, stream, swae_compress_bound(&s->field), length, &message);
    fegetenv(&after);
    check(!bad, message.text, where);
    check(!memcmp(&before, &after, sizeof before), "the environment after swae_compress", where);
    swae_field out = s->field;
    out.data = values;
    fegetenv(&before);
    bad = swae_decompress(stream, *length, NULL, &out, &message);
    fegetenv(&after);
    check(!bad, message.text, where);
    check(!memcmp(&before, &after, sizeof before), "the environment after swae_decompress", where);
}

static void verify_bound(const sample *s) {
    if (s->options.mode != SWAE_MODE_ABSOLUTE) return;
    int held = 1;
    for (int k = 0; k < POINTS; ++k) {
        const int single = s->field.dtype == SWAE_FLOAT32;
        const double a = single ? ((float *)s->values)[k] : ((double *)s->values)[k];
        const double b = single ? ((const float *)s->field.data)[k] : ((const double *)s->field.data)[k];
        held &= isfinite(b) ? fabs(a - b) <= s->options.bound : (isnan(a) && isnan(b)) || a == b;
    }
    check(held, "the bound", s->name);
}

// A session writes a step and a reader reads it, each call in this environment.
static void through_a_file(const char *path, const char *settings, const char *where) {
    swae_options options = {.size = sizeof options, .mode = SWAE_MODE_ABSOLUTE, .bound = 1e-4, .settings = settings};
    swae_session *out;
    swae_reader *in;
    fenv_t before, after;
    fegetenv(&before);
    int bad = swae_open(MPI_COMM_WORLD, path, &options, &out);
    for (int step = 0; step < 3 && !bad; ++step) {
        bad |= swae_begin_step(out, step, step);
        for (int i = 0; i < 3; ++i) bad |= swae_put(out, &samples[i].field);
        bad |= swae_end_step(out);
    }
    if (bad) printf("%s\n", swae_last_error(out));
    bad |= swae_close(out);
    bad |= swae_reader_open(path, &in);
    void *values = memory(bytes(&samples[1]));
    for (size_t step = 0; step < 3 && !bad; ++step) {
        swae_field field = samples[1].field;
        field.data = values;
        bad |= swae_reader_read(in, step, &field);
    }
    swae_reader_close(in);
    fegetenv(&after);
    check(!bad, "a session and its file", where);
    check(!memcmp(&before, &after, sizeof before), "the environment after a session", where);
    fesetenv(FE_DFL_ENV);
    double worst = 0;
    for (int k = 0; k < POINTS; ++k) worst = fmax(worst, fabs(((double *)values)[k] - ((const double *)samples[1].field.data)[k]));
    check(worst <= 1e-4, "the bound in a file", where);
    free(values);
}

static void all_fields(const char *where, unsigned char *stream, void *values) {
    for (int i = 0; i < FIELDS; ++i) {
        for (int threads = 1; threads <= 4; threads += 3) {
            const sample *s = &samples[i];
            char place[200];
            snprintf(place, sizeof place, "%s, %s, %d threads", s->name, where, threads);
            size_t length = 0;
            code(s, threads, stream, &length, values, place);
            check(length == s->length && !memcmp(stream, s->stream, length), "the stream", place);
            check(!memcmp(values, s->values, bytes(s)), "the values", place);
        }
    }
}

int main(int argc, char **argv) {
    int provided;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    define(0, "constant", SWAE_FLOAT64, SWAE_MODE_ABSOLUTE, 1e-4, 0, 1.0 / 3, 0);
    define(1, "waves", SWAE_FLOAT64, SWAE_MODE_ABSOLUTE, 1e-4, 1, 0, 0);
    define(2, "specials", SWAE_FLOAT32, SWAE_MODE_ABSOLUTE, 1e-3, 1, 0, 1);
    define(3, "denormal doubles", SWAE_FLOAT64, SWAE_MODE_ABSOLUTE, 3e-311, 4e-308, 0, 0);
    define(4, "denormal floats", SWAE_FLOAT32, SWAE_MODE_ABSOLUTE, 1e-41, 3e-38, 0, 0);
    define(5, "latents", SWAE_FLOAT32, SWAE_MODE_LATENT, 0, 1, 0, 0);
    define(6, "psnr", SWAE_FLOAT64, SWAE_MODE_PSNR, 70, 1, 5, 0);
    for (int i = 0; i < FIELDS; ++i) {
        sample *s = &samples[i];
        code(s, 1, s->stream, &s->length, s->values, s->name);
        verify_bound(s);
    }
    unsigned char *stream = memory(POINTS * 8 + 64);
    void *values = memory(POINTS * 8);
    for (int rounding = 0; rounding < 4; ++rounding) {
        for (int traps = 0; traps < 2; ++traps) {
            for (int flushes = 0; flushes < 2; ++flushes) {
                char where[100];
                snprintf(where, sizeof where, "rounding %d, traps %d, flushing %d", rounding, traps, flushes);
                hostile(rounding, traps, flushes);
                all_fields(where, stream, values);
                hostile(rounding, traps, flushes);
                through_a_file(argv[1], traps ? "asynchronous = write" : "", where);
                fesetenv(FE_DFL_ENV);
            }
        }
    }
    printf("%d checks, %d wrong\n", checked, wrong);
    MPI_Finalize();
    return wrong > 0;
}
