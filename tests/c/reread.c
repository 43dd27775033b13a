// Reads a file that changes while it is open: reread FILE PART SIZE AT VALUE opens it, cuts its part
// PART to SIZE bytes or, where SIZE is -1, sets the byte AT to VALUE, and reads everything. Prints
// how many reads worked and how many failed. Exits with 0 unless it crashes.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <swae.h>
#include <unistd.h>

static int change(const char *part, long size, long at, int value) {
    const int fd = open(part, O_RDWR);
    if (fd < 0) return 1;
    const unsigned char byte = (unsigned char)value;
    const int bad = size >= 0 ? ftruncate(fd, size) != 0 : pwrite(fd, &byte, 1, at) != 1;
    close(fd);
    return bad;
}

int main(int argc, char **argv) {
    static double values[24 * 24 * 24];
    if (argc != 6) return 2;
    swae_reader *r;
    if (swae_reader_open(argv[1], &r)) return fprintf(stderr, "%s\n", swae_reader_error(r)), 1;
    if (change(argv[2], atol(argv[3]), atol(argv[4]), atoi(argv[5]))) return perror(argv[2]), 1;
    size_t steps = 0;
    int worked = 0, failed = 0;
    swae_reader_steps(r, &steps);
    for (size_t step = 0; step < steps; ++step) {
        const char *names[] = {"chi", "K", "alpha"};
        for (int f = 0; f < 3; ++f) {
            swae_field field = {.size = sizeof field, .name = names[f], .dtype = SWAE_FLOAT64, .data = values, .count = {24, 24, 24}};
            ++*(swae_reader_read(r, step, &field) ? &failed : &worked);
        }
    }
    swae_reader_close(r);
    printf("%d %d\n", worked, failed);
    return 0;
}
