// Reads what heat_writer has written, on any number of ranks, and prints the largest error of each variable; it does
// not know swae either: heat_reader [OUTPUT].
#include "heat.hpp"

#include <adios2.h>
#include <mpi.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    try {
        adios2::ADIOS adios(MPI_COMM_WORLD);
        adios2::IO io = adios.DeclareIO("read");
        adios2::Engine engine = io.Open(argc > 1 ? argv[1] : "heat.bp", adios2::Mode::Read);
        const std::size_t first = first_plane(rank, ranks), planes = first_plane(rank + 1, ranks) - first;
        std::size_t step = 0;
        double worst[4] = {};  // temperature, its single precision, the profile, cells
        for (; engine.BeginStep() == adios2::StepStatus::OK; ++step) {
            auto select = [&](auto variable) {
                variable.SetSelection({{first, 0, 0}, {planes, points, points}});
                return variable;
            };
            std::vector<double> values, profile;
            std::vector<float> single;
            std::vector<std::int32_t> cell;
            auto profiles = io.InquireVariable<double>("profile");
            profiles.SetSelection({{first}, {planes}});
            engine.Get(select(io.InquireVariable<double>("temperature")), values, adios2::Mode::Sync);
            engine.Get(select(io.InquireVariable<float>("temperature_single")), single, adios2::Mode::Sync);
            engine.Get(select(io.InquireVariable<std::int32_t>("cell")), cell, adios2::Mode::Sync);
            engine.Get(profiles, profile, adios2::Mode::Sync);
            std::size_t at = 0;
            for (std::size_t z = first; z < first + planes; ++z) {
                for (std::size_t y = 0; y < points; ++y)
                    for (std::size_t x = 0; x < points; ++x, ++at) {
                        const double truth = temperature(step, x, y, z);
                        worst[0] = std::max(worst[0], std::abs(values[at] - truth));
                        worst[1] = std::max(worst[1], std::abs(double(single[at]) - float(truth)));
                        worst[3] = std::max(worst[3], std::abs(cell[at] - double(first * points * points + at)));
                    }
                worst[2] = std::max(worst[2], std::abs(profile[z - first] - temperature(step, 20, 30, z)));
            }
            engine.EndStep();
        }
        engine.Close();
        MPI_Allreduce(MPI_IN_PLACE, worst, 4, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        if (rank == 0)
            std::printf("%zu steps; largest errors: temperature %.3e, single %.3e, profile %.3e, cell %g\n", step, worst[0],
                        worst[1], worst[2], worst[3]);
    } catch (const std::exception &e) {
        std::cerr << "heat_reader: " << e.what() << "\n";
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Finalize();
}
