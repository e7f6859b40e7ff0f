// SPDX-License-Identifier: Apache-2.0
// The command `trireme bench`.
#pragma once

#include <string>
#include <vector>

#include "trireme/comm/mpi.hpp"
#include "trireme/deck/load.hpp"

namespace trireme {

struct BenchOptions {
  int steps = 5;
  std::string json;                  ///< file that receives one JSON object; empty: none
  std::vector<std::string> against;  ///< settings of a second deck to compare with; empty: none
  std::string machine;               ///< file that receives this machine's rates; empty: none
  bool update = false;               ///< measure the update alone, beside the rate of memory
  bool kernels = false;              ///< measure each kernel, beside its floor
};
/// Measures speed and memory of a deck on synthetic tokens. Collective.
void bench(const DeckSource& source, const BenchOptions& options, const MpiSession& mpi);

}  // namespace trireme
