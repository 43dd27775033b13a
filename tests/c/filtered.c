// A parallel HDF5 program that uses the filter by its number: all ranks write a dataset together,
// then read all of it. Arguments: file, then the filter's parameters. Exits with 0 if every value
// is within 1e-4.
#include <hdf5.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 48, FILTER = 397 };

static double truth(int z, int y, int x) { return sin(0.1 * x) * cos(0.07 * y) + 0.01 * z; }

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, ranks, bad = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    unsigned parameters[16];
    for (int i = 2; i < argc; ++i) parameters[i - 2] = (unsigned)strtoul(argv[i], NULL, 10);

    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL);
    hid_t file = H5Fcreate(argv[1], H5F_ACC_TRUNC, H5P_DEFAULT, access);
    // Chunks that are no rank's alone.
    hsize_t shape[3] = {N, N, N}, chunk[3] = {20, 20, 20};
    hid_t space = H5Screate_simple(3, shape, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 3, chunk);
    if (H5Pset_filter(list, FILTER, H5Z_FLAG_MANDATORY, argc - 2, parameters) < 0) return 1;
    hid_t set = H5Dcreate2(file, "phi", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    const int first = N * rank / ranks, end = N * (rank + 1) / ranks;
    hsize_t start[3] = {first, 0, 0}, count[3] = {end - first, N, N};
    double *values = malloc(sizeof(double) * N * N * N);
    for (int z = first, i = 0; z < end; ++z)
        for (int y = 0; y < N; ++y)
            for (int x = 0; x < N; ++x) values[i++] = truth(z, y, x);
    hid_t memory = H5Screate_simple(3, count, NULL), together = H5Pcreate(H5P_DATASET_XFER);
    H5Pset_dxpl_mpio(together, H5FD_MPIO_COLLECTIVE);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    if (H5Dwrite(set, H5T_NATIVE_DOUBLE, memory, space, together, values) < 0) bad = 1;
    const hsize_t stored = H5Dget_storage_size(set);
    H5Dclose(set), H5Fclose(file);

    file = H5Fopen(argv[1], H5F_ACC_RDONLY, access);
    set = H5Dopen2(file, "phi", H5P_DEFAULT);
    if (H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, together, values) < 0) bad = 1;
    for (int z = 0, i = 0; z < N && !bad; ++z)
        for (int y = 0; y < N; ++y)
            for (int x = 0; x < N; ++x) bad |= !(fabs(values[i++] - truth(z, y, x)) <= 1e-4);
    if (rank == 0) printf("%llu of %zu bytes\n", (unsigned long long)stored, sizeof(double) * N * N * N);
    H5Dclose(set), H5Fclose(file), H5Sclose(space), H5Sclose(memory), H5Pclose(list), H5Pclose(access), H5Pclose(together);
    free(values);
    MPI_Finalize();
    return bad;
}
