// Writes a field with an effort: effort FILE EFFORT SETTINGS. The number is that of swae_options.
#include <stdlib.h>
#include <swae.h>

int main(int argc, char **argv) {
    static double a[24][32][40];
    for (int z = 0; z < 24; ++z)
        for (int y = 0; y < 32; ++y)
            for (int x = 0; x < 40; ++x) a[z][y][x] = 1.0 / (40 + (x - 17) * (x - 17) + 2 * (y - 9) * (y - 9) + 3 * (z - 5) * (z - 5));
    MPI_Init(&argc, &argv);
    swae_options o = {.size = sizeof o, .effort = atoi(argv[2]), .settings = argv[3]};
    swae_field f = {.size = sizeof f, .name = "phi", .dtype = SWAE_FLOAT64, .data = a, .shape = {40, 32, 24}, .count = {40, 32, 24}};
    swae_session *s;
    int bad = swae_open(MPI_COMM_WORLD, argv[1], &o, &s);
    bad = bad || swae_begin_step(s, 0, 0) || swae_put(s, &f) || swae_end_step(s);
    bad = swae_close(s) || bad;
    MPI_Finalize();
    return bad;
}
