// SPDX-License-Identifier: MIT OR Apache-2.0

/// @file swae.hpp
/// @brief swae for C++17: sessions and readers that close themselves, exceptions, array views.
///
/// A header-only wrapper of swae.h, which describes each function, struct and option. Shapes,
/// positions and strides are x, y, z. Functions throw swae::error, or a class that derives from it,
/// unless they are noexcept.

#ifndef SWAE_HPP
#define SWAE_HPP

#include <swae.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace swae {

/// @brief Exception of a failed call; what() is the library's message.
class error : public std::runtime_error {
  public:
    /// @param status  the status of the call
    /// @param text    the message
    error(swae_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
    /// @return the status of the call
    swae_status status() const noexcept { return status_; }

  private:
    swae_status status_;
};

/// @brief A file or a stream is damaged, or is none of swae (SWAE_ERROR_CORRUPT).
class corrupt_error : public error {
  public:
    using error::error;
};

/// @brief A later library has written a file or a stream (SWAE_ERROR_VERSION).
class version_error : public error {
  public:
    using error::error;
};

/// @brief The memory that the call needs is not to be had (SWAE_ERROR_MEMORY).
class memory_error : public error {
  public:
    using error::error;
};

/// @brief Throws the exception of a status, unless it is SWAE_OK.
///
/// @param status  the status of a call
/// @param text    its message
inline void check(swae_status status, const char* text) {
    switch (status) {
        case SWAE_OK: return;
        case SWAE_ERROR_CORRUPT: throw corrupt_error(status, text);
        case SWAE_ERROR_VERSION: throw version_error(status, text);
        case SWAE_ERROR_MEMORY: throw memory_error(status, text);
        default: throw error(status, text);
    }
}

/// @brief Three numbers along x, y, z.
using triple = std::array<std::size_t, 3>;

/// @brief The swae_dtype of float or double.
///
/// @tparam T  float or double, const or not
/// @return a swae_dtype
template <typename T>
constexpr int32_t dtype_of() {
    using value = std::remove_cv_t<T>;
    static_assert(std::is_same_v<value, float> || std::is_same_v<value, double>, "swae takes float and double");
    return std::is_same_v<value, float> ? SWAE_FLOAT32 : SWAE_FLOAT64;
}

/// @brief A box of values in the caller's memory.
///
/// @tparam T  float or double; const for values that are only read
template <typename T>
struct view {
    T* data = nullptr;                       ///< first value of the memory, ghost zones included
    triple count{};                          ///< points of the box, without ghost zones
    triple ghost_lo{};                       ///< ghost points in memory below the box
    triple ghost_hi{};                       ///< ghost points in memory above the box
    std::array<std::ptrdiff_t, 3> stride{};  ///< in values; all 0 for a contiguous array, x fastest

    view() = default;

    /// @brief A contiguous array, x fastest.
    ///
    /// @param data      first value of the memory, ghost zones included
    /// @param count     points of the box, without ghost zones
    /// @param ghost_lo  ghost points in memory below the box
    /// @param ghost_hi  ghost points in memory above the box
    view(T* data, triple count, triple ghost_lo = {}, triple ghost_hi = {})
        : data(data), count(count), ghost_lo(ghost_lo), ghost_hi(ghost_hi) {}

    /// @brief The elements of a std::mdspan of rank 3, or of a type like it.
    ///
    /// @param m  its indices are x, y, z
    template <typename M, typename = decltype(std::declval<const M&>().data_handle())>
    view(const M& m) : data(m.data_handle()) {
        for (int a = 0; a < 3; ++a) count[a] = m.extent(a), stride[a] = static_cast<std::ptrdiff_t>(m.stride(a));
    }
};

/// @brief The grid of a field, or of one of its refinement levels.
struct grid {
    triple shape{};                          ///< points
    std::array<double, 3> origin{};          ///< coordinates of point 0
    std::array<double, 3> spacing{1, 1, 1};  ///< distance between points
    int level = 0;                           ///< refinement level
    bool partial = false;                    ///< boxes need not cover the grid
};

namespace detail {

template <typename T>
swae_field field(const std::string& name, const grid& g, triple start, const view<T>& v) {
    swae_field f{};
    f.size = sizeof f;
    f.name = name.c_str();
    f.dtype = dtype_of<T>();
    f.data = v.data;
    for (int a = 0; a < 3; ++a) {
        f.shape[a] = g.shape[a], f.start[a] = start[a], f.count[a] = v.count[a];
        f.ghost_lo[a] = v.ghost_lo[a], f.ghost_hi[a] = v.ghost_hi[a], f.stride[a] = v.stride[a];
        f.origin[a] = g.origin[a], f.spacing[a] = g.spacing[a];
    }
    f.level = g.level, f.partial = g.partial;
    return f;
}

}  // namespace detail

/// @brief A rank's boxes on one refinement level, described once for all fields on them.
class boxes {
  public:
    /// @param g  the grid of the level
    explicit boxes(const grid& g) : grid_(g) {}

    /// @brief Adds a box.
    ///
    /// @param start  its first point in the grid
    /// @param v      its count, ghost zones and strides; data is ignored
    template <typename T>
    void add(triple start, const view<T>& v) {
        swae_box b{};
        for (int a = 0; a < 3; ++a) {
            b.start[a] = start[a], b.count[a] = v.count[a], b.stride[a] = v.stride[a];
            b.ghost_lo[a] = v.ghost_lo[a], b.ghost_hi[a] = v.ghost_hi[a];
        }
        boxes_.push_back(b);
    }

    /// @return the same as the C struct, which points into this object
    swae_boxes c() const {
        swae_boxes b{};
        b.size = sizeof b;
        b.boxes = boxes_.data(), b.box_count = boxes_.size(), b.box_size = sizeof(swae_box);
        for (int a = 0; a < 3; ++a)
            b.shape[a] = grid_.shape[a], b.origin[a] = grid_.origin[a], b.spacing[a] = grid_.spacing[a];
        b.level = grid_.level, b.partial = grid_.partial;
        return b;
    }

  private:
    grid grid_;
    std::vector<swae_box> boxes_;
};

/// @brief Options of a session; the members are those of swae_options.
struct options {
    /// How fields are compressed; by default within a relative bound of 1e-4
    swae_mode mode = SWAE_MODE_DEFAULT;
    /// The error bound, or the dB of SWAE_MODE_PSNR; 0 for none
    double bound = 0;
    /// How latents are stored
    swae_latents latents = SWAE_LATENTS_F16;
    /// Threads that encode on this rank; 0 for automatic
    int threads = 0;
    /// Steps from one keyframe to the next; 0 for 16
    int keyframe_interval = 0;
    /// Name or path of a model; empty for "gr-16"
    std::string model;
    /// "auto", "cpu", "cpu:N", "cuda", "cuda:0,1"
    std::string devices;
    /// Path of a TOML file; empty for none
    std::string config;
    /// Settings separated by semicolons
    std::string settings;
    /// Which work continues in the background
    swae_asynchronous asynchronous = SWAE_ASYNCHRONOUS_OFF;
    /// Bytes to copy at most; 0 for 2^30
    std::uint64_t memory = 0;
    /// Continue an existing file
    bool append = false;
    /// How long the encoder looks for small streams
    swae_effort effort = SWAE_EFFORT_NORMAL;

    /// @return the same as the C struct, which points into this object
    swae_options c() const {
        swae_options o{};
        o.size = sizeof o;
        o.mode = mode, o.bound = bound, o.latents = latents, o.threads = threads, o.keyframe_interval = keyframe_interval;
        o.asynchronous = asynchronous, o.memory = memory, o.append = append, o.effort = effort;
        o.model = model.empty() ? nullptr : model.c_str();
        o.devices = devices.empty() ? nullptr : devices.c_str();
        o.config = config.empty() ? nullptr : config.c_str();
        o.settings = settings.empty() ? nullptr : settings.c_str();
        return o;
    }
};

/// @brief One output of a simulation, open on every rank of a communicator.
class session {
  public:
    /// @brief Opens an output (swae_open). Collective.
    ///
    /// @param comm  a communicator, which is duplicated
    /// @param path  the file: `.h5` for one HDF5 file, `.bp` for ADIOS2 BP5
    /// @param o     the options
    session(MPI_Comm comm, const std::string& path, const options& o = {}) {
        const swae_options c = o.c();
        const swae_status status = swae_open(comm, path.c_str(), &c, &handle_);
        if (status == SWAE_OK) return;
        const std::string text = swae_last_error(handle_);
        swae_close(handle_);
        check(status, text.c_str());
    }
    session(session&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    session& operator=(session&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }

    /// @brief Closes as close() does, and ignores the error. Collective.
    ~session() { swae_close(handle_); }

    /// @brief Begins a step (swae_begin_step). Collective.
    ///
    /// It does not throw, and neither does put: end_step throws the first error of any rank on all
    /// ranks. A rank that left the step early would block the others.
    ///
    /// @param step  number of the step
    /// @param time  time of the step
    void begin_step(std::int64_t step, double time) noexcept { swae_begin_step(handle_, step, time); }

    /// @brief Puts one box of a field (swae_put).
    ///
    /// @param name   name of the field
    /// @param g      the grid
    /// @param start  first point of the box in the grid
    /// @param v      the values
    template <typename T>
    void put(const std::string& name, const grid& g, triple start, const view<T>& v) noexcept {
        const swae_field f = detail::field(name, g, start, v);
        swae_put(handle_, &f);
    }

    /// @brief Puts a field on many boxes (swae_put_boxes).
    ///
    /// @param name  name of the field
    /// @param b     the boxes
    /// @param data  for each box the first value of its memory
    template <typename T>
    void put(const std::string& name, const boxes& b, const std::vector<T*>& data) noexcept {
        const swae_boxes c = b.c();
        const std::vector<const void*> pointers(data.begin(), data.end());
        swae_put_boxes(handle_, name.c_str(), dtype_of<T>(), &c, pointers.data());
    }

    /// @brief Ends the step (swae_end_step). Collective; throws the same error on all ranks.
    void end_step() {
        const swae_status status = swae_end_step(handle_);
        check(status, swae_last_error(handle_));
    }

    /// @brief Waits for steps in the background (swae_flush). Collective.
    void flush() {
        const swae_status status = swae_flush(handle_);
        check(status, swae_last_error(handle_));
    }

    /// @return the statistics of this rank so far
    swae_statistics statistics() {
        swae_statistics s{};
        s.size = sizeof s;
        const swae_status status = swae_get_statistics(handle_, &s);
        check(status, swae_last_error(handle_));
        return s;
    }

    /// @brief Closes the output (swae_close). Collective.
    void close() {
        const swae_status status = swae_close(std::exchange(handle_, nullptr));
        check(status, "closing the output failed; its last steps may be missing");
    }

    /// @return the C handle, which this object owns
    swae_session* c() const noexcept { return handle_; }

  private:
    swae_session* handle_ = nullptr;
};

/// @brief A field of a step, as the file describes it.
struct field_info {
    std::string name;            ///< followed by @level above level 0
    std::string encoding;        ///< how it is compressed, for display
    swae_dtype dtype;            ///< type of its values
    swae::grid grid;             ///< its grid
    std::uint64_t stored_bytes;  ///< bytes of its streams in the file
};

/// @brief A step, as the file describes it.
struct step_info {
    std::int64_t step;               ///< the number that the simulation gave it
    double time;                     ///< its time
    std::vector<field_info> fields;  ///< its fields, sorted by name
};

/// @brief A file that is read.
class reader {
  public:
    /// @param path  the file: .h5, .bp, .swae, .npy or .vti
    explicit reader(const std::string& path) {
        const swae_status status = swae_reader_open(path.c_str(), &handle_);
        if (status == SWAE_OK) return;
        const std::string text = swae_reader_error(handle_);
        swae_reader_close(handle_);
        swae::check(status, text.c_str());
    }
    reader(reader&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    reader& operator=(reader&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~reader() { swae_reader_close(handle_); }

    /// @return the number of steps in the file
    std::size_t steps() const {
        std::size_t count = 0;
        check(swae_reader_steps(handle_, &count));
        return count;
    }

    /// @param index  index of a step, from 0
    /// @return the step
    step_info step(std::size_t index) const {
        step_info info{};
        std::size_t fields = 0;
        check(swae_reader_step(handle_, index, &info.step, &info.time, &fields));
        for (std::size_t i = 0; i < fields; ++i) {
            swae_field_info f{};
            f.size = sizeof f;
            check(swae_reader_field(handle_, index, i, &f));
            field_info one{f.name, f.encoding, static_cast<swae_dtype>(f.dtype), {}, f.stored_bytes};
            for (int a = 0; a < 3; ++a)
                one.grid.shape[a] = f.shape[a], one.grid.origin[a] = f.origin[a], one.grid.spacing[a] = f.spacing[a];
            one.grid.partial = f.partial != 0;
            info.fields.push_back(std::move(one));
        }
        return info;
    }

    /// @brief Reads a region of v.count points of a field into a view (swae_reader_read).
    ///
    /// @param index  index of the step, from 0
    /// @param name   name of the field
    /// @param start  first point of the region in the grid
    /// @param v      the memory that the values are written to
    template <typename T>
    void read(std::size_t index, const std::string& name, triple start, const view<T>& v) const {
        const swae_field f = detail::field(name, grid{}, start, v);
        check(swae_reader_read(handle_, index, &f));
    }

  private:
    void check(swae_status status) const {
        swae::check(status, swae_reader_error(handle_));
    }
    swae_reader* handle_ = nullptr;
};

/// @brief Compresses an array (swae_compress); no session, no MPI.
///
/// @param v  the values
/// @param o  the options; by default a relative bound of 1e-4
/// @return the stream
template <typename T>
std::vector<unsigned char> compress(const view<T>& v, const options& o = {}) {
    const swae_field f = detail::field("", grid{}, {}, v);
    const swae_options c = o.c();
    std::vector<unsigned char> out(swae_compress_bound(&f));
    std::size_t length = 0;
    swae_message message;
    const swae_status status = swae_compress(&f, &c, out.data(), out.size(), &length, &message);
    check(status, message.text);
    out.resize(length);
    return out;
}

/// @brief Decompresses a stream (swae_decompress).
///
/// @param stream  the stream
/// @param v       an array of the stream's type and shape, which the values are written to
template <typename T>
void decompress(const std::vector<unsigned char>& stream, const view<T>& v) {
    const swae_field f = detail::field("", grid{}, {}, v);
    swae_message message;
    const swae_status status = swae_decompress(stream.data(), stream.size(), nullptr, &f, &message);
    check(status, message.text);
}

}  // namespace swae

#endif
