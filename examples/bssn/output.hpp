// How a simulation links swae: this file and output.cpp are all there is to it.
#pragma once

#include "bssn.hpp"
#include "parameters.hpp"

#include <swae.h>

/// One output file, open on all ranks.
class OutputFile {
  public:
    OutputFile(const Grid& grid, const Output& description, const Parameters& p);
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    /// Writes all fields if this time step is one of its own. Collective.
    void write(const State& u, int step, double time);

    /// Waits until everything is in the file, and prints sizes and times on rank 0. Collective.
    void report();

  private:
    const Grid& grid_;
    std::string path_;
    int every_;
    swae_session* session_ = nullptr;
};
