// SPDX-License-Identifier: MIT OR Apache-2.0
//
// swae for C++17: sessions and readers that close themselves, errors as exceptions, views of arrays. Header alone, over
// swae.h, where everything is explained.

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

// What a failed call says.
class error : public std::runtime_error {
  public:
    error(swae_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
    swae_status status() const noexcept { return status_; }

  private:
    swae_status status_;
};

using triple = std::array<std::size_t, 3>;

template <typename T>
constexpr int32_t dtype_of() {
    using value = std::remove_cv_t<T>;
    static_assert(std::is_same_v<value, float> || std::is_same_v<value, double>, "swae takes float and double");
    return std::is_same_v<value, float> ? SWAE_FLOAT32 : SWAE_FLOAT64;
}

// Values in memory: where the first of them lies, ghost zones included, and how; every triple is x, y, z.
template <typename T>
struct view {
    T* data = nullptr;
    triple count{};                          // without ghost zones
    triple ghost_lo{}, ghost_hi{};
    std::array<std::ptrdiff_t, 3> stride{};  // in values; all 0 for a contiguous array, x fastest

    view() = default;
    view(T* data, triple count, triple ghost_lo = {}, triple ghost_hi = {})
        : data(data), count(count), ghost_lo(ghost_lo), ghost_hi(ghost_hi) {}

    // Of anything like std::mdspan of rank 3, whose indices are x, y, z.
    template <typename M, typename = decltype(std::declval<const M&>().data_handle())>
    view(const M& m) : data(m.data_handle()) {
        for (int a = 0; a < 3; ++a) count[a] = m.extent(a), stride[a] = static_cast<std::ptrdiff_t>(m.stride(a));
    }
};

// The grid of a field, or of one of its levels.
struct grid {
    triple shape{};
    std::array<double, 3> origin{}, spacing{1, 1, 1};
    int level = 0;
    bool partial = false;  // boxes need not cover it
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

// Boxes on one level, described once for all fields that live on them. `data` of each view is not looked at.
class layout {
  public:
    explicit layout(const grid& g) : grid_(g) {}

    template <typename T>
    void add(triple start, const view<T>& v) {
        swae_box b{};
        for (int a = 0; a < 3; ++a) {
            b.start[a] = start[a], b.count[a] = v.count[a], b.stride[a] = v.stride[a];
            b.ghost_lo[a] = v.ghost_lo[a], b.ghost_hi[a] = v.ghost_hi[a];
        }
        boxes_.push_back(b);
    }

    swae_layout c() const {
        swae_layout l{};
        l.size = sizeof l;
        l.boxes = boxes_.data(), l.box_count = boxes_.size(), l.box_size = sizeof(swae_box);
        for (int a = 0; a < 3; ++a)
            l.shape[a] = grid_.shape[a], l.origin[a] = grid_.origin[a], l.spacing[a] = grid_.spacing[a];
        l.level = grid_.level, l.partial = grid_.partial;
        return l;
    }

  private:
    grid grid_;
    std::vector<swae_box> boxes_;
};

// How a session works.
struct options {
    swae_mode mode = SWAE_MODE_LATENT;
    double bound = 0;
    swae_latents latents = SWAE_LATENTS_F16;
    int threads = 0, keyframe_interval = 0;
    std::string model, devices, config, settings;
    swae_asynchronous asynchronous = SWAE_ASYNCHRONOUS_OFF;
    std::uint64_t memory = 0;
    bool append = false;

    swae_options c() const {
        swae_options o{};
        o.size = sizeof o;
        o.mode = mode, o.bound = bound, o.latents = latents, o.threads = threads, o.keyframe_interval = keyframe_interval;
        o.asynchronous = asynchronous, o.memory = memory, o.append = append;
        o.model = model.empty() ? nullptr : model.c_str();
        o.devices = devices.empty() ? nullptr : devices.c_str();
        o.config = config.empty() ? nullptr : config.c_str();
        o.settings = settings.empty() ? nullptr : settings.c_str();
        return o;
    }
};

// One output of a simulation, open on every rank of a communicator.
class session {
  public:
    session(MPI_Comm comm, const std::string& path, const options& o = {}) {
        const swae_options c = o.c();
        const swae_status status = swae_open(comm, path.c_str(), &c, &handle_);
        if (status != SWAE_OK) {
            const error failure(status, swae_last_error(handle_));
            swae_close(handle_);
            throw failure;
        }
    }
    session(session&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    session& operator=(session&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    // Closes as close() does, but keeps the error to itself.
    ~session() { swae_close(handle_); }

    // Whatever goes wrong before end_step, on whichever rank, end_step throws it on all: these do not throw, for a rank that
    // left early would let the others wait there.
    void begin_step(std::int64_t step, double time) noexcept { swae_begin_step(handle_, step, time); }

    template <typename T>
    void put(const std::string& name, const grid& g, triple start, const view<T>& v) noexcept {
        const swae_field f = detail::field(name, g, start, v);
        swae_put(handle_, &f);
    }

    // A field on all boxes of a layout; `data` leads to the values of each.
    template <typename T>
    void put(const std::string& name, const layout& l, const std::vector<T*>& data) noexcept {
        const swae_layout c = l.c();
        const std::vector<const void*> pointers(data.begin(), data.end());
        swae_put_boxes(handle_, name.c_str(), dtype_of<T>(), &c, pointers.data());
    }

    void end_step() {
        const swae_status status = swae_end_step(handle_);
        if (status != SWAE_OK) throw error(status, swae_last_error(handle_));
    }

    // Waits for steps in the background.
    void flush() {
        const swae_status status = swae_flush(handle_);
        if (status != SWAE_OK) throw error(status, swae_last_error(handle_));
    }

    swae_statistics statistics() {
        swae_statistics s{};
        s.size = sizeof s;
        const swae_status status = swae_get_statistics(handle_, &s);
        if (status != SWAE_OK) throw error(status, swae_last_error(handle_));
        return s;
    }

    void close() {
        const swae_status status = swae_close(std::exchange(handle_, nullptr));
        if (status != SWAE_OK) throw error(status, "the output did not close well; its last steps may be missing");
    }

    swae_session* c() const noexcept { return handle_; }

  private:
    swae_session* handle_ = nullptr;
};

// What a file says of a field of a step.
struct field_info {
    std::string name, encoding;
    swae_dtype dtype;
    swae::grid grid;
    std::uint64_t stored_bytes;
};

// What a file says of a step.
struct step_info {
    std::int64_t step;
    double time;
    std::vector<field_info> fields;
};

// The fields of a file.
class reader {
  public:
    explicit reader(const std::string& path) {
        const swae_status status = swae_reader_open(path.c_str(), &handle_);
        if (status != SWAE_OK) {
            const error failure(status, swae_reader_error(handle_));
            swae_reader_close(handle_);
            throw failure;
        }
    }
    reader(reader&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    reader& operator=(reader&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~reader() { swae_reader_close(handle_); }

    std::size_t steps() const {
        std::size_t count = 0;
        check(swae_reader_steps(handle_, &count));
        return count;
    }

    // The step at an index, which counts from 0.
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

    // Reads the region of `v.count` points that begins at `start`, into the view.
    template <typename T>
    void read(std::size_t index, const std::string& name, triple start, const view<T>& v) const {
        const swae_field f = detail::field(name, grid{}, start, v);
        check(swae_reader_read(handle_, index, &f));
    }

  private:
    void check(swae_status status) const {
        if (status != SWAE_OK) throw error(status, swae_reader_error(handle_));
    }
    swae_reader* handle_ = nullptr;
};

// Compresses an array; no session, no MPI.
template <typename T>
std::vector<unsigned char> compress(const view<T>& v, const options& o) {
    const swae_field f = detail::field("", grid{}, {}, v);
    const swae_options c = o.c();
    std::vector<unsigned char> out(swae_compress_bound(&f));
    std::size_t length = 0;
    swae_message message;
    const swae_status status = swae_compress(&f, &c, out.data(), out.size(), &length, &message);
    if (status != SWAE_OK) throw error(status, message.text);
    out.resize(length);
    return out;
}

// Decompresses into an array of the stream's shape.
template <typename T>
void decompress(const std::vector<unsigned char>& stream, const view<T>& v) {
    const swae_field f = detail::field("", grid{}, {}, v);
    swae_message message;
    const swae_status status = swae_decompress(stream.data(), stream.size(), nullptr, &f, &message);
    if (status != SWAE_OK) throw error(status, message.text);
}

}  // namespace swae

#endif
