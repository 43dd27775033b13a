// tests/c/effort.c in C++: the same bytes.
#include <swae.hpp>

int main(int argc, char** argv) {
    std::vector<double> a;
    for (int z = 0; z < 24; ++z)
        for (int y = 0; y < 32; ++y)
            for (int x = 0; x < 40; ++x) a.push_back(1.0 / (40 + (x - 17) * (x - 17) + 2 * (y - 9) * (y - 9) + 3 * (z - 5) * (z - 5)));
    MPI_Init(&argc, &argv);
    {
        swae::options o;
        o.effort = static_cast<swae_effort>(std::stoi(argv[2])), o.settings = argv[3];
        swae::session out(MPI_COMM_WORLD, argv[1], o);
        swae::grid grid;
        grid.shape = {40, 32, 24};
        out.begin_step(0, 0);
        out.put("phi", grid, {0, 0, 0}, swae::view(a.data(), {40, 32, 24}));
        out.end_step();
        out.close();
    }
    MPI_Finalize();
}
