// SZ3 3.4.0 for C: its templates for float and double, which the module of the PyPI wheel pysz exports, behind plain
// functions that throw nothing. setup/sz3.sh builds it.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

// What SZ3 3.4.0 declares, for the wheel has no headers. The layout is that of the module's debug information.
namespace SZ3 {
struct Config {
    template <class... Dims> Config(Dims...);
    uint32_t magic, data_version;
    char axes;
    std::vector<size_t> shape;
    size_t values;
    uint8_t algorithm, bound_mode;
    double absolute, relative, psnr, l2norm;
    bool openmp;
    int bins, block_size;
    uint8_t predicted_axes, data_type;
    bool lorenzo, lorenzo2, regression, regression2;
    uint8_t interpolation, direction;
    int anchor_stride;
    double alpha, beta;
};
static_assert(sizeof(Config) == 128, "not the layout of SZ3 3.4.0");
template <class T> size_t SZ_compress_size_bound(const Config &);
} // namespace SZ3
template <class T> size_t SZ_compress(const SZ3::Config &, const T *, char *, size_t);
template <class T> void SZ_decompress(SZ3::Config &, const char *, size_t, T *&);
std::string versionStr(uint32_t);

namespace {

// As Config::setDims does, which the module does not export. All axes are longer than 1.
SZ3::Config of_shape(const size_t *shape, size_t axes) {
    SZ3::Config config;
    config.axes = static_cast<char>(axes);
    config.shape.assign(shape, shape + axes);
    config.values = std::accumulate(shape, shape + axes, size_t{1}, std::multiplies<>());
    config.predicted_axes = static_cast<uint8_t>(axes);
    config.block_size = axes == 1 ? 128 : axes == 2 ? 16 : 6;
    return config;
}

template <class T> void decompress(const char *stream, size_t size, T *values) {
    SZ3::Config config;
    SZ_decompress<T>(config, stream, size, values);
}

// Puts what `work` throws into `error`, which has 256 bytes. Says whether it threw nothing.
template <class Work> bool succeeds(char *error, Work work) {
    try {
        work();
        return true;
    } catch (const std::exception &e) {
        std::strncpy(error, e.what(), 255);
    } catch (...) {
        std::strncpy(error, "an unknown exception", 255);
    }
    error[255] = 0;
    return false;
}

} // namespace

// The most bytes that a stream of this shape takes.
extern "C" size_t sz3_size_bound(const size_t *shape, size_t axes) {
    return SZ3::SZ_compress_size_bound<double>(of_shape(shape, axes));
}

// Compresses float64 or float32 values within an absolute bound. The size of the stream; 0 where it failed.
extern "C" size_t sz3_compress(const void *values, bool is_double, const size_t *shape, size_t axes, double bound,
                               uint8_t algorithm, char *stream, size_t capacity, char *error) {
    size_t size = 0;
    succeeds(error, [&] {
        auto config = of_shape(shape, axes);
        config.algorithm = algorithm;
        config.absolute = bound;
        size = is_double ? SZ_compress(config, static_cast<const double *>(values), stream, capacity)
                         : SZ_compress(config, static_cast<const float *>(values), stream, capacity);
    });
    return size;
}

// Decompresses a stream that sz3_compress wrote into as many values as it was given.
extern "C" bool sz3_decompress(const char *stream, size_t size, void *values, bool is_double, char *error) {
    return succeeds(error, [&] {
        is_double ? decompress(stream, size, static_cast<double *>(values))
                  : decompress(stream, size, static_cast<float *>(values));
    });
}

// The version of the streams that it writes, which is that of the library, in `text` of 32 bytes.
extern "C" void sz3_version(char *text) {
    std::strncpy(text, versionStr(SZ3::Config().data_version).c_str(), 31);
    text[31] = 0;
}
