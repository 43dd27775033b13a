// A parallel HDF5 program that uses the filter by its number: all ranks write datasets together,
// then read all of them: doubles, and integers and shuffled doubles, which an optional filter
// leaves alone. Arguments: file, then the filter's parameters. Exits with 0 if every double is
// within 1e-4 and everything else as it was.
#include <hdf5.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 48, FILTER = 397 };

static double truth(int z, int y, int x) { return sin(0.1 * x) * cos(0.07 * y) + 0.01 * z; }

static hid_t file, together;
static double values[N * N * N], back[N * N * N];

// Writes and reads a dataset of 8-byte values; gives the bytes that it takes, 0 where it fails.
static hsize_t stored(const char *name, hid_t type, int shuffle, unsigned flag, int count, const unsigned *parameters,
                      int first, int end) {
    // Chunks that are no rank's alone.
    hsize_t shape[3] = {N, N, N}, chunk[3] = {20, 20, 20};
    hid_t space = H5Screate_simple(3, shape, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 3, chunk);
    if (shuffle) H5Pset_shuffle(list);
    if (H5Pset_filter(list, FILTER, flag, (size_t)count, parameters) < 0) return 0;
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    hsize_t start[3] = {first, 0, 0}, size[3] = {end - first, N, N};
    hid_t memory = H5Screate_simple(3, size, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL);
    int bad = H5Dwrite(set, type, memory, space, together, values + first * N * N) < 0;
    const hsize_t bytes = H5Dget_storage_size(set);
    H5Dclose(set);
    H5Fflush(file, H5F_SCOPE_GLOBAL);
    set = H5Dopen2(file, name, H5P_DEFAULT);
    bad |= H5Dread(set, type, H5S_ALL, H5S_ALL, together, back) < 0;
    H5Dclose(set), H5Sclose(space), H5Sclose(memory), H5Pclose(list);
    return bad ? 0 : bytes;
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, ranks, bad = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    unsigned parameters[16];
    for (int i = 2; i < argc; ++i) parameters[i - 2] = (unsigned)strtoul(argv[i], NULL, 10);
    const int count = argc - 2, first = N * rank / ranks, end = N * (rank + 1) / ranks;
    for (int z = 0, i = 0; z < N; ++z)
        for (int y = 0; y < N; ++y)
            for (int x = 0; x < N; ++x) values[i++] = truth(z, y, x);

    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL);
    H5Eset_auto2(H5E_DEFAULT, rank ? NULL : (H5E_auto2_t)H5Eprint2, stderr);
    file = H5Fcreate(argv[1], H5F_ACC_TRUNC, H5P_DEFAULT, access);
    together = H5Pcreate(H5P_DATASET_XFER);
    H5Pset_dxpl_mpio(together, H5FD_MPIO_COLLECTIVE);

    const hsize_t bytes = stored("phi", H5T_NATIVE_DOUBLE, 0, H5Z_FLAG_MANDATORY, count, parameters, first, end);
    for (int i = 0; i < N * N * N; ++i) bad |= !(fabs(back[i] - values[i]) <= 1e-4);
    if (!bytes) bad = 1;
    // The same bytes as integers.
    if (!stored("integers", H5T_NATIVE_INT64, 0, H5Z_FLAG_OPTIONAL, count, parameters, first, end)) bad = 1;
    if (memcmp(back, values, sizeof values)) bad = 1;
    if (!stored("shuffled", H5T_NATIVE_DOUBLE, 1, H5Z_FLAG_OPTIONAL, count, parameters, first, end)) bad = 1;
    if (memcmp(back, values, sizeof values)) bad = 1;
    if (rank == 0) printf("%llu of %zu bytes\n", (unsigned long long)bytes, sizeof values);
    H5Fclose(file), H5Pclose(access), H5Pclose(together);
    MPI_Finalize();
    return bad;
}
