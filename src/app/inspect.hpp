// SPDX-License-Identifier: Apache-2.0
// `trireme inspect`: what a checkpoint holds, whether it is whole, in what two differ.
#pragma once

#include <string>

namespace trireme {

struct InspectOptions {
  std::string checkpoint;  ///< its folder, or a run's with checkpoints in it
  std::string other;       ///< to compare with; empty: describe `checkpoint` instead
  bool verify = false;     ///< read every byte against its checksums
  bool deck = false;       ///< print the deck too
};

/// For one rank. Prints to stdout. Returns the exit code: 1 if two checkpoints' tensors differ,
/// else 0. Throws Error for what isn't a checkpoint, or not a whole one.
[[nodiscard]] int inspect(const InspectOptions& options);

}  // namespace trireme
