// Asks for steps that are written in the background, in a program that began MPI with MPI_Init. Exits with 0 where the
// session says that they are encoded there, and no more.
#include <swae.h>

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    swae_options o = {.size = sizeof o, .settings = "asynchronous = write"};
    swae_statistics found = {.size = sizeof found};
    swae_session *s;
    swae_status status = swae_open(MPI_COMM_WORLD, argv[1], &o, &s);
    if (!status) status = swae_get_statistics(s, &found);
    if (!status) status = swae_close(s);
    MPI_Finalize();
    return status || found.asynchronous != SWAE_ASYNCHRONOUS_ENCODE;
}
