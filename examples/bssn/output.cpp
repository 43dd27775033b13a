#include "output.hpp"

#include <cstdio>
#include <stdexcept>

OutputFile::OutputFile(const Grid& grid, const Output& description, const Parameters& p)
    : grid_(grid), path_(description.path), every_(description.every) {
    swae_options options{};
    options.size = sizeof options;
    options.mode = description.mode;
    options.bound = description.bound;
    options.model = p.model.empty() ? nullptr : p.model.c_str();
    options.settings = p.swae.empty() ? nullptr : p.swae.c_str();
    const swae_status status = swae_open(grid.comm(), description.path.c_str(), &options, &session_);
    if (status != SWAE_OK) {
        const std::string reason = swae_last_error(session_);
        swae_close(session_);
        throw std::runtime_error("swae_open: " + reason);
    }
}

OutputFile::~OutputFile() {
    if (swae_close(session_) != SWAE_OK) std::fprintf(stderr, "swae_close failed; the last steps may be missing\n");
}

void OutputFile::write(const State& u, int step, double time) {
    if (step % every_ != 0) return;
    // No status is checked before the end of the step: swae_end_step returns the error of any rank on all ranks. A rank that
    // left the step earlier would block the others.
    swae_begin_step(session_, step, time);
    for (int v = 0; v < FIELDS; ++v) {
        swae_field field{};
        field.size = sizeof field;
        field.name = field_names[v];
        field.dtype = SWAE_FLOAT64;
        field.data = u[v].data();  // with its ghosts; swae steps over them
        for (int axis = 0; axis < 3; ++axis) {
            field.shape[axis] = grid_.points();
            field.start[axis] = grid_.start()[axis];
            field.count[axis] = grid_.count()[axis];
            field.ghost_lo[axis] = field.ghost_hi[axis] = Grid::ghosts;
            field.spacing[axis] = grid_.spacing();
            field.origin[axis] = -grid_.half_width() + grid_.spacing() / 2;
        }
        swae_put(session_, &field);
    }
    if (swae_end_step(session_) != SWAE_OK)
        throw std::runtime_error(std::string("swae_end_step: ") + swae_last_error(session_));
}

void OutputFile::report() {
    swae_statistics s{};
    s.size = sizeof s;
    if (swae_flush(session_) != SWAE_OK || swae_get_statistics(session_, &s) != SWAE_OK)
        throw std::runtime_error(std::string("swae_flush: ") + swae_last_error(session_));
    double bytes[2] = {double(s.raw_bytes), double(s.stored_bytes)};
    double seconds[4] = {s.inside, s.encoding, s.communication, s.writing};
    MPI_Allreduce(MPI_IN_PLACE, bytes, 2, MPI_DOUBLE, MPI_SUM, grid_.comm());
    MPI_Allreduce(MPI_IN_PLACE, seconds, 4, MPI_DOUBLE, MPI_MAX, grid_.comm());
    if (grid_.rank() == 0)
        std::printf("%s: %d steps, %.3f of %.1f MB; inside swae %.3f s; encoding %.3f s, communication %.3f s, writing %.3f s\n",
                    path_.c_str(), int(s.steps), bytes[1] / 1e6, bytes[0] / 1e6, seconds[0], seconds[1], seconds[2], seconds[3]);
}
