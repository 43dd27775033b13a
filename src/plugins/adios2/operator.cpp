// The class that ADIOS2 calls, of interface v2 (ADIOS2 2.12 and later) or v1, whichever the header has.
// Functions of lib.rs do the work. What goes wrong when values are written is a warning of ADIOS2's log, and the values
// are stored as they are; what goes wrong when they are read becomes an exception here, which ADIOS2 passes on.
#if __has_include(<adios2/plugin/PluginOperatorInterface.h>)
#include <adios2/plugin/PluginOperatorInterface.h>
#else
#include <adios2/operator/plugin/PluginOperatorInterface.h>
#endif

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

// `Prepared` and `HostArray` of lib.rs.
struct swae_operator_prepared;
struct swae_operator_array {
    const void *data;
    const size_t *shape;
    size_t axes;
    int kind;
    size_t value_size;
};

// `Functions` of lib.rs. Compressing and decompressing give the bytes that they have written, or -1. A message says what
// went wrong.
struct swae_operator_functions {
    swae_operator_prepared *(*prepare)(const char *const *pairs, size_t count, char *message, size_t message_size);
    void (*release)(swae_operator_prepared *prepared);
    int64_t (*compress)(const swae_operator_prepared *prepared, const swae_operator_array *array, void *out,
                        size_t capacity, char *message, size_t message_size);
    int64_t (*decompress)(const void *payload, size_t size, void *out, char *message, size_t message_size);
    size_t (*max_size)(size_t bytes, size_t axes);
};

namespace {

// adios2::helper::Log and its LogMode, which no installed header has.
enum LogMode : char { WARNING = 'w' };
using Log = void(const std::string &component, const std::string &source, const std::string &activity,
                 const std::string &message, LogMode mode);

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
    default: return 0;  // strings and structs: ADIOS2 then leaves the operator out, with a warning
    }
}

class Operator final : public adios2::plugin::PluginOperatorInterface {
  public:
    Operator(const adios2::Params &parameters, const swae_operator_functions &functions, Log *log)
        : PluginOperatorInterface(parameters), functions_(functions), log_(log) {
        std::vector<std::string> keys;  // in lower case, as ADIOS2 itself compares them
        for (const auto &parameter : parameters) {
            std::string key = parameter.first;
            std::transform(key.begin(), key.end(), key.begin(), [](unsigned char c) { return std::tolower(c); });
            keys.push_back(std::move(key));
        }
        std::vector<const char *> pairs;
        size_t i = 0;
        for (const auto &parameter : parameters) {
            pairs.push_back(keys[i++].c_str());
            pairs.push_back(parameter.second.c_str());
        }
        char message[512] = {};
        prepared_ = functions_.prepare(pairs.data(), keys.size(), message, sizeof message);
        warn(message);
    }

    ~Operator() override { functions_.release(prepared_); }
    Operator(const Operator &) = delete;
    Operator &operator=(const Operator &) = delete;

    size_t Operate(const char *data, const adios2::Dims &, const adios2::Dims &count, const adios2::DataType type,
                   char *out) override {
        size_t points = 1;
        for (const size_t n : count) points *= n;
        // A span: the values would come later, into memory that ADIOS2 does not have behind an operator.
        if (data == nullptr && points > 0) throw std::invalid_argument("swae: a variable with an operator has no spans");
        const int kind = type == adios2::DataType::Float ? 0 : type == adios2::DataType::Double ? 1 : 2;
        const size_t size = size_of(type);
        const swae_operator_array array = {data, count.data(), count.size(), kind, size};
        char message[512] = {};
        const int64_t bytes = functions_.compress(prepared_, &array, out, functions_.max_size(points * size, count.size()),
                                                  message, sizeof message);
        if (bytes < 0) throw std::runtime_error("swae: an internal error, please report it");
        warn(message);
        return static_cast<size_t>(bytes);
    }

    size_t InverseOperate(const char *in, const size_t size, char *out) override {
        char message[512] = {};
        const int64_t bytes = functions_.decompress(in, size, out, message, sizeof message);
        if (bytes < 0) throw std::runtime_error(std::string("swae: ") + message);
        return static_cast<size_t>(bytes);
    }

    bool IsDataTypeValid(const adios2::DataType type) const override { return size_of(type) > 0; }

    size_t GetEstimatedSize(const size_t points, const size_t size, const size_t axes, const size_t *) const override {
        return functions_.max_size(points * size, axes);
    }

  private:
    swae_operator_functions functions_;
    Log *log_;
    swae_operator_prepared *prepared_ = nullptr;

    void warn(const std::string &message) const {
        if (message.empty() || !log_) return;
        log_("Plugins", "swae", "Operator", message + "; the values are stored as they are, without compression", WARNING);
    }
};

}  // namespace

extern "C" void *swae_operator_create(const void *parameters, const swae_operator_functions *functions, const void *log) {
    return new Operator(*static_cast<const adios2::Params *>(parameters), *functions,
                        reinterpret_cast<Log *>(const_cast<void *>(log)));
}

extern "C" void swae_operator_destroy(void *object) { delete static_cast<Operator *>(object); }
