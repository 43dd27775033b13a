// The class that ADIOS2 calls, of interface v2 (ADIOS2 2.12 and later) or v1, whichever the header has.
// Functions of lib.rs do the work; their errors become exceptions here, which ADIOS2 passes on.
#if __has_include(<adios2/plugin/PluginOperatorInterface.h>)
#include <adios2/plugin/PluginOperatorInterface.h>
#else
#include <adios2/operator/plugin/PluginOperatorInterface.h>
#endif

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

// `Functions` of lib.rs. The first two give the bytes that they have written, or -1 and a message.
struct swae_operator_functions {
    int64_t (*compress)(const char *const *pairs, size_t count, const void *data, const size_t *shape, size_t axes,
                        int kind, size_t value_size, void *out, size_t capacity, char *message, size_t message_size);
    int64_t (*decompress)(const void *payload, size_t size, void *out, char *message, size_t message_size);
    size_t (*max_size)(size_t bytes, size_t axes);
};

namespace {

size_t size_of(adios2::DataType type) {
    switch (type) {
    case adios2::DataType::Int8:
    case adios2::DataType::UInt8:
    case adios2::DataType::Char: return 1;
    case adios2::DataType::Int16:
    case adios2::DataType::UInt16: return 2;
    case adios2::DataType::Int32:
    case adios2::DataType::UInt32:
    case adios2::DataType::Float: return 4;
    case adios2::DataType::Int64:
    case adios2::DataType::UInt64:
    case adios2::DataType::Double:
    case adios2::DataType::FloatComplex: return 8;
    case adios2::DataType::LongDouble: return sizeof(long double);
    case adios2::DataType::DoubleComplex: return 16;
    default: return 0;  // strings and structs
    }
}

class Operator final : public adios2::plugin::PluginOperatorInterface {
  public:
    Operator(const adios2::Params &parameters, const swae_operator_functions &functions)
        : PluginOperatorInterface(parameters), functions_(functions) {}

    size_t Operate(const char *data, const adios2::Dims &, const adios2::Dims &count, const adios2::DataType type,
                   char *out) override {
        std::vector<std::string> keys;  // in lower case, as ADIOS2 itself compares them
        for (const auto &parameter : m_Parameters) {
            std::string key = parameter.first;
            std::transform(key.begin(), key.end(), key.begin(), [](unsigned char c) { return std::tolower(c); });
            keys.push_back(std::move(key));
        }
        std::vector<const char *> pairs;
        size_t i = 0;
        for (const auto &parameter : m_Parameters) {
            pairs.push_back(keys[i++].c_str());
            pairs.push_back(parameter.second.c_str());
        }
        size_t points = 1;
        for (const size_t n : count) points *= n;
        const int kind = type == adios2::DataType::Float ? 0 : type == adios2::DataType::Double ? 1 : 2;
        const size_t size = size_of(type);
        char message[512] = {};
        return checked(functions_.compress(pairs.data(), keys.size(), data, count.data(), count.size(), kind, size, out,
                                         functions_.max_size(points * size, count.size()), message, sizeof message),
                     message);
    }

    size_t InverseOperate(const char *in, const size_t size, char *out) override {
        char message[512] = {};
        return checked(functions_.decompress(in, size, out, message, sizeof message), message);
    }

    bool IsDataTypeValid(const adios2::DataType type) const override { return size_of(type) > 0; }

    size_t GetEstimatedSize(const size_t points, const size_t size, const size_t axes, const size_t *) const override {
        return functions_.max_size(points * size, axes);
    }

  private:
    swae_operator_functions functions_;

    static size_t checked(int64_t bytes, const char *message) {
        if (bytes < 0) throw std::runtime_error(std::string("swae: ") + message);
        return static_cast<size_t>(bytes);
    }
};

}  // namespace

extern "C" void *swae_operator_create(const void *parameters, const swae_operator_functions *functions) {
    return new Operator(*static_cast<const adios2::Params *>(parameters), *functions);
}

extern "C" void swae_operator_destroy(void *object) { delete static_cast<Operator *>(object); }
