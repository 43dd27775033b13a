// The C++ interface: views with ghosts and strides, boxes, readers, streams; errors are exceptions.
// Two ranks; exits with 0 if everything is right.
#include <cmath>
#include <cstdio>
#include <swae.hpp>

static int failures = 0;

static void expect(bool so, const char* what) {
    if (so) return;
    std::printf("not so: %s\n", what);
    ++failures;
}

// Like std::mdspan with layout_stride, of which no compiler here has one.
struct strided {
    double* first;
    std::size_t extents[3];
    std::ptrdiff_t strides[3];
    double* data_handle() const { return first; }
    std::size_t extent(int a) const { return extents[a]; }
    std::ptrdiff_t stride(int a) const { return strides[a]; }
};

static double truth(std::size_t x, std::size_t y, std::size_t z) { return std::sin(0.1 * x) * std::cos(0.2 * y) + 0.01 * z; }

template <typename F>
static bool throws(swae_status status, const std::string& words, F call) {
    try {
        call();
    } catch (const swae::error& e) {
        return e.status() == status && std::string(e.what()).find(words) != std::string::npos;
    }
    return false;
}

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    const std::string path = argv[1];
    swae::grid grid;
    grid.shape = {16, 16, 16};
    swae::options options;
    options.mode = SWAE_MODE_ABSOLUTE;
    options.bound = 1e-6;
    {
        swae::session first(MPI_COMM_WORLD, path, options);
        swae::session out = std::move(first);
        // A box whose z runs fastest, and the same values in two boxes at once.
        std::vector<double> values(16 * 16 * 8);
        for (std::size_t x = 0; x < 16; ++x)
            for (std::size_t y = 0; y < 16; ++y)
                for (std::size_t z = 0; z < 8; ++z) values[(x * 16 + y) * 8 + z] = truth(x, y, z + 8 * rank);
        const strided box{values.data(), {16, 16, 8}, {128, 8, 1}};
        const strided half{values.data(), {8, 16, 8}, {128, 8, 1}};
        const std::size_t z = 8 * rank;
        swae::boxes boxes(grid);
        boxes.add({0, 0, z}, swae::view<double>(half));
        boxes.add({8, 0, z}, swae::view<double>(half));
        out.begin_step(3, 1.5);
        out.put("phi", grid, {0, 0, z}, swae::view<double>(box));
        out.put("psi", boxes, std::vector<double*>{values.data(), values.data() + 8 * 128});
        out.end_step();
        out.begin_step(2, 1.0);
        expect(throws(SWAE_ERROR_STATE, "does not come after", [&] { out.end_step(); }), "a step that goes back throws");
        out.close();
    }
    expect(throws(SWAE_ERROR_IO, "does not exist", [] { swae::session(MPI_COMM_WORLD, "no/folder/a.h5"); }), "no folder");
    MPI_Barrier(MPI_COMM_WORLD);
    swae::reader in(path);
    expect(in.steps() == 1, "one step");
    const swae::step_info step = in.step(0);
    expect(step.step == 3 && step.time == 1.5 && step.fields.size() == 2 && step.fields[1].name == "psi", "what the step says");
    for (const auto& field : step.fields) {
        std::vector<double> back(18 * 18 * 18, -1);
        in.read(0, field.name, {0, 0, 0}, swae::view(back.data(), {16, 16, 16}, {1, 1, 1}, {1, 1, 1}));
        double worst = 0;
        for (std::size_t i = 0; i < 4096; ++i) {
            const std::size_t x = i % 16, y = i / 16 % 16, z = i / 256;
            worst = std::max(worst, std::fabs(back[((z + 1) * 18 + y + 1) * 18 + x + 1] - truth(x, y, z)));
        }
        expect(worst <= 1e-6 && back[0] == -1, "the field is within its bound, and its ghosts are left alone");
    }
    expect(throws(SWAE_ERROR_ARGUMENT, "is not inside its grid", [&] {
        double one;
        in.read(0, "phi", {16, 0, 0}, swae::view(&one, {1, 1, 1}));
    }), "a region outside throws");
    std::vector<float> from(1000), to(1000);
    for (int i = 0; i < 1000; ++i) from[i] = 0.001f * i;
    options.bound = 1e-3;
    const auto stream = swae::compress(swae::view(from.data(), {10, 10, 10}), options);
    swae::decompress(stream, swae::view(to.data(), {10, 10, 10}));
    for (int i = 0; i < 1000; ++i) expect(std::fabs(double(to[i]) - double(from[i])) <= 1e-3, "the stream is within its bound");
    auto damaged = stream;
    damaged[damaged.size() / 2] ^= 4;
    bool is_corrupt = false;
    try {
        swae::decompress(damaged, swae::view(to.data(), {10, 10, 10}));
    } catch (const swae::corrupt_error& e) {
        is_corrupt = e.status() == SWAE_ERROR_CORRUPT;
    }
    expect(is_corrupt, "a damaged stream is a corrupt_error");
    expect(swae::compress(swae::view(from.data(), {10, 10, 10})).size() < 4000, "without options there is a bound");
    MPI_Finalize();
    return failures != 0;
}
