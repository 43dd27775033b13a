// An ADIOS2 program that does not know swae: heat_writer [OUTPUT [CONFIG]]. adios2.xml alone says what is compressed, and how.
// Run it with ADIOS2_PLUGIN_PATH where libswae_adios2.so is.
#include "heat.hpp"

#include <adios2.h>
#include <mpi.h>

#include <cstdint>
#include <iostream>
#include <numeric>
#include <string>

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    try {
        adios2::ADIOS adios(argc > 2 ? argv[2] : "adios2.xml", MPI_COMM_WORLD);
        adios2::IO io = adios.DeclareIO("heat");
        const std::size_t first = first_plane(rank, ranks), planes = first_plane(rank + 1, ranks) - first;
        const adios2::Dims grid{points, points, points}, start{first, 0, 0}, count{planes, points, points};
        auto temperatures = io.DefineVariable<double>("temperature", grid, start, count);
        auto singles = io.DefineVariable<float>("temperature_single", grid, start, count);
        auto profiles = io.DefineVariable<double>("profile", {points}, {first}, {planes});
        auto cells = io.DefineVariable<std::int32_t>("cell", grid, start, count);
        auto times = io.DefineVariable<double>("time");
        adios2::Engine engine = io.Open(argc > 1 ? argv[1] : "heat.bp", adios2::Mode::Write);
        std::vector<std::int32_t> cell(planes * points * points);
        std::iota(cell.begin(), cell.end(), static_cast<std::int32_t>(first * points * points));
        for (std::size_t step = 0; step < 3; ++step) {
            std::vector<double> values, profile;
            for (std::size_t z = first; z < first + planes; ++z) {
                for (std::size_t y = 0; y < points; ++y)
                    for (std::size_t x = 0; x < points; ++x) values.push_back(temperature(step, x, y, z));
                profile.push_back(temperature(step, 20, 30, z));
            }
            const std::vector<float> single(values.begin(), values.end());
            engine.BeginStep();
            engine.Put(times, 0.5 * step);
            engine.Put(temperatures, values.data());
            engine.Put(singles, single.data());
            engine.Put(profiles, profile.data());
            engine.Put(cells, cell.data());
            engine.EndStep();
        }
        engine.Close();
    } catch (const std::exception &e) {
        std::cerr << "heat_writer: " << e.what() << "\n";
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Finalize();
}
