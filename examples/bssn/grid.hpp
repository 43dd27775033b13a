// A uniform Cartesian grid, cut into one box per MPI rank, with ghost zones that neighbours fill.
#pragma once

#include <mpi.h>

#include <array>
#include <cstddef>
#include <vector>

using Triple = std::array<int, 3>;  ///< x, y, z

class Grid {
  public:
    static constexpr int ghosts = 3;  ///< what the upwind and the dissipation stencils reach

    /// `points`³ points on [−half_width, half_width]³, cell-centred so that no point is a puncture on an axis.
    Grid(MPI_Comm comm, int points, double half_width);
    ~Grid() { MPI_Comm_free(&cart_); }
    Grid(const Grid&) = delete;
    Grid& operator=(const Grid&) = delete;

    MPI_Comm comm() const { return cart_; }
    int rank() const { return rank_; }
    int points() const { return points_; }
    double spacing() const { return spacing_; }
    double half_width() const { return half_width_; }
    Triple start() const { return start_; }  ///< first point of this rank's box
    Triple count() const { return count_; }  ///< points of this rank's box
    size_t stride(int axis) const { return stride_[axis]; }
    size_t size() const { return stride_[2] * (count_[2] + 2 * ghosts); }  ///< values of a field with ghosts

    /// Index of point (i, j, k) of the box; ghosts have indices −3 … −1 and count … count+2.
    size_t index(int i, int j, int k) const {
        return (i + ghosts) + stride_[1] * (j + ghosts) + stride_[2] * (k + ghosts);
    }
    double coordinate(int axis, int i) const { return -half_width_ + (start_[axis] + i + 0.5) * spacing_; }
    /// Points between (i) and the nearer end of the whole grid along an axis: 0 for the outermost.
    int depth(int axis, int i) const {
        const int at = start_[axis] + i;
        return at < points_ - 1 - at ? at : points_ - 1 - at;
    }

    /// Calls f(i, j, k, index) for every point of the box, x fastest.
    template <class F>
    void each(F f) const {
        for (int k = 0; k < count_[2]; ++k)
            for (int j = 0; j < count_[1]; ++j)
                for (int i = 0; i < count_[0]; ++i) f(i, j, k, index(i, j, k));
    }

    /// Fills the ghost zones between ranks, edges and corners included. Those outside the grid are not touched.
    void exchange(std::vector<std::vector<double>>& fields) const;

  private:
    MPI_Comm cart_;
    int rank_ = 0, points_;
    double half_width_, spacing_;
    Triple start_{}, count_{};
    std::array<size_t, 3> stride_{};
};
