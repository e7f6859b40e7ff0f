// SPDX-License-Identifier: Apache-2.0
// `trireme bench`.
#pragma once

#include <string>
#include <vector>

#include "trireme/comm/mpi.hpp"
#include "trireme/deck/load.hpp"

namespace trireme {

struct BenchOptions {
  int steps = 5;
  std::string json;                  ///< file to write one object to; empty: none
  std::vector<std::string> against;  ///< settings of a deck to compare with; empty: none
  bool update = false;               ///< the update alone, beside memory's rate
  bool kernels = false;              ///< each kernel, beside its floor
};
/// `trireme bench`: speed and memory of a deck on synthetic tokens.
void bench(const DeckSource& source, const BenchOptions& options, const MpiSession& mpi);

}  // namespace trireme
