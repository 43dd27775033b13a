#include "parameters.hpp"

#include <fstream>
#include <map>
#include <sstream>

namespace {

template <class T>
void read(std::istringstream& in, const std::string& key, T& value) {
    if (!(in >> value)) throw std::runtime_error("parameter '" + key + "' has no usable value");
}

void set(Parameters& p, const std::string& key, const std::string& text) {
    std::istringstream in(text);
    if (key == "points") read(in, key, p.points);
    else if (key == "half_width") read(in, key, p.half_width);
    else if (key == "courant") read(in, key, p.courant);
    else if (key == "end_time") read(in, key, p.end_time);
    else if (key == "dissipation") read(in, key, p.dissipation);
    else if (key == "eta") read(in, key, p.eta);
    else if (key == "mask_radius") read(in, key, p.mask_radius);
    else if (key == "mask_edge") read(in, key, p.mask_edge);
    else if (key == "report_every") read(in, key, p.report_every);
    else if (key == "model") read(in, key, p.model);
    else if (key == "swae") p.swae = text;
    else if (key == "puncture") {
        Puncture hole;
        read(in, key, hole.mass);
        for (auto* triple : {&hole.position, &hole.momentum, &hole.spin})
            for (double& v : *triple)
                if (!(in >> v)) v = 0;
        p.punctures.push_back(hole);
    } else if (key == "output") {
        Output out;
        std::string mode;
        read(in, key, out.path);
        read(in, key, mode);
        read(in, key, out.every);
        static const std::map<std::string, swae_mode> modes{
            {"raw", SWAE_MODE_RAW},        {"latent", SWAE_MODE_LATENT},
            {"abs", SWAE_MODE_ABSOLUTE},   {"rel", SWAE_MODE_RELATIVE},
            {"pwrel", SWAE_MODE_POINTWISE_RELATIVE}, {"psnr", SWAE_MODE_PSNR}};
        const auto colon = mode.find(':');
        const auto found = modes.find(mode.substr(0, colon));
        if (found == modes.end())
            throw std::runtime_error("output mode '" + mode + "' is none of raw, latent, abs:E, rel:E, pwrel:E, psnr:DB");
        out.mode = found->second;
        if (colon != std::string::npos) {
            std::istringstream bound(mode.substr(colon + 1));
            read(bound, key, out.bound);
        }
        p.outputs.push_back(out);
    } else
        throw std::runtime_error("unknown parameter '" + key + "'");
}

void read_line(Parameters& p, std::string line) {
    line = line.substr(0, line.find('#'));
    const auto equals = line.find('=');
    const auto first = line.find_first_not_of(" \t");
    if (first == std::string::npos) return;
    if (equals == std::string::npos) throw std::runtime_error("not of the form key = value: '" + line + "'");
    std::string key = line.substr(first, equals - first);
    key.erase(key.find_last_not_of(" \t") + 1);
    set(p, key, line.substr(equals + 1));
}

}  // namespace

Parameters read_parameters(const std::string& path, const std::vector<std::string>& overrides) {
    Parameters p;
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read '" + path + "'");
    for (std::string line; std::getline(file, line);) read_line(p, line);
    // Outputs given as arguments replace those of the file: a run must not write where it is not expected.
    bool first_output = true;
    for (const std::string& line : overrides) {
        if (line.rfind("output=", 0) == 0 && first_output) {
            p.outputs.clear();
            first_output = false;
        }
        if (line == "output=none") continue;
        read_line(p, line);
    }
    if (p.points < 16) throw std::runtime_error("points must be 16 or more");
    for (const Output& out : p.outputs)
        if (out.every < 1) throw std::runtime_error("output '" + out.path + "' needs every ≥ 1");
    if (p.report_every < 1) throw std::runtime_error("report_every must be 1 or more");
    return p;
}
