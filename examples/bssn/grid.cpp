#include "grid.hpp"

#include <stdexcept>

namespace {

/// First point of part `part` of `parts`. Parts are multiples of 8 points where that leaves none empty: swae's blocks are
/// 8³, so the same blocks are cut whatever the number of ranks, and the output does not depend on it.
int begin_of(int points, int parts, int part) {
    const int unit = points % 8 == 0 && points / 8 >= parts ? 8 : 1;
    return static_cast<int>(static_cast<long>(points / unit) * part / parts) * unit;
}

}  // namespace

Grid::Grid(MPI_Comm comm, int points, double half_width)
    : points_(points), half_width_(half_width), spacing_(2 * half_width / points) {
    int size = 1;
    MPI_Comm_size(comm, &size);
    Triple parts{}, periodic{}, at{};
    MPI_Dims_create(size, 3, parts.data());
    MPI_Cart_create(comm, 3, parts.data(), periodic.data(), 1, &cart_);
    MPI_Comm_rank(cart_, &rank_);
    MPI_Cart_coords(cart_, rank_, 3, at.data());
    size_t stride = 1;
    for (int a = 0; a < 3; ++a) {
        start_[a] = begin_of(points, parts[a], at[a]);
        count_[a] = begin_of(points, parts[a], at[a] + 1) - start_[a];
        if (parts[a] > 1 && points / parts[a] < ghosts)
            throw std::runtime_error("too many ranks for so few points");
        stride_[a] = stride;
        stride *= count_[a] + 2 * ghosts;
    }
}

void Grid::exchange(std::vector<std::vector<double>>& fields) const {
    std::vector<double> send, receive;
    for (int axis = 0; axis < 3; ++axis) {
        // Along the axes done before, the ghosts are sent too: that is how edges and corners get through.
        std::array<int, 3> lo, hi;
        for (int a = 0; a < 3; ++a) {
            lo[a] = a < axis ? -ghosts : 0;
            hi[a] = a < axis ? count_[a] + ghosts : count_[a];
        }
        // Visits the slab [from, from + ghosts) of every field in a fixed order.
        auto slab = [&](int from, auto visit) {
            auto l = lo, h = hi;
            l[axis] = from;
            h[axis] = from + ghosts;
            for (auto& field : fields)
                for (int k = l[2]; k < h[2]; ++k)
                    for (int j = l[1]; j < h[1]; ++j)
                        for (int i = l[0]; i < h[0]; ++i) visit(field[index(i, j, k)]);
        };
        for (int direction : {-1, 1}) {
            int from = MPI_PROC_NULL, to = MPI_PROC_NULL;
            MPI_Cart_shift(cart_, axis, direction, &from, &to);
            send.clear();
            if (to != MPI_PROC_NULL)
                slab(direction < 0 ? 0 : count_[axis] - ghosts, [&](double v) { send.push_back(v); });
            size_t expected = 0;
            if (from != MPI_PROC_NULL) slab(0, [&](double) { ++expected; });
            receive.resize(expected);
            MPI_Sendrecv(send.data(), static_cast<int>(send.size()), MPI_DOUBLE, to, axis, receive.data(),
                         static_cast<int>(receive.size()), MPI_DOUBLE, from, axis, cart_, MPI_STATUS_IGNORE);
            size_t next = 0;
            if (from != MPI_PROC_NULL)
                slab(direction < 0 ? count_[axis] : -ghosts, [&](double& v) { v = receive[next++]; });
        }
    }
}
