// The HDF5 filter in every floating-point environment: chunks are those of the default environment, to the
// byte, and are read back within the bound. Arguments: file, then the filter's parameters.
#define _GNU_SOURCE
#include <fenv.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 48, POINTS = N * N * N, FILTER = 397 };

static const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
static double values[POINTS], decoded[POINTS];
static unsigned char first[POINTS * 8], again[POINTS * 8];

static void set(int rounding, int traps, int flushes) {
    fesetround(roundings[rounding]);
    if (traps) feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
#if defined __x86_64__
    if (flushes) __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#else
    (void)flushes;
#endif
}

int main(int argc, char **argv) {
    unsigned parameters[16];
    for (int i = 2; i < argc; ++i) parameters[i - 2] = (unsigned)strtoul(argv[i], NULL, 10);
    hsize_t shape[3] = {N, N, N}, origin[3] = {0, 0, 0}, size = 0;
    int wrong = 0;
    for (int k = 0; k < POINTS; ++k) values[k] = sin(0.1 * (k % N)) * cos(0.07 * (k / N % N)) + 0.01 * (k / N / N);
    hid_t file = H5Fcreate(argv[1], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(3, shape, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 3, shape);
    if (H5Pset_filter(list, FILTER, H5Z_FLAG_MANDATORY, argc - 2, parameters) < 0) return 2;
    for (int i = 0; i < 16; ++i) {
        char name[20];
        snprintf(name, sizeof name, "phi%d", i);
        memset(decoded, 0, sizeof decoded);
        set(i % 4, i / 4 % 2, i / 8);
        hid_t data = H5Dcreate2(file, name, H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, list, H5P_DEFAULT);
        wrong += H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0;
        H5Dclose(data);
        H5Fflush(file, H5F_SCOPE_GLOBAL);
        data = H5Dopen2(file, name, H5P_DEFAULT);
        wrong += H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, decoded) < 0;
        wrong += fegetround() != roundings[i % 4];
        fesetenv(FE_DFL_ENV);
        uint32_t mask;
        hsize_t found = 0;
        H5Dget_chunk_storage_size(data, origin, &found);
        wrong += H5Dread_chunk(data, H5P_DEFAULT, origin, &mask, i ? again : first) < 0;
        if (i == 0) size = found;
        wrong += found != size || (i && memcmp(first, again, size));
        for (int k = 0; k < POINTS; ++k) wrong += !(fabs(decoded[k] - values[k]) <= 1e-4);
        H5Dclose(data);
    }
    H5Fclose(file);
    printf("%d wrong\n", wrong);
    return wrong > 0;
}
