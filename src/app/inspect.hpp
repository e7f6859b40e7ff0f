// SPDX-License-Identifier: Apache-2.0
// `trireme inspect`: describes, verifies and compares checkpoints.
#pragma once

#include <string>

namespace trireme {

struct InspectOptions {
  std::string checkpoint;  ///< a checkpoint's folder, or a run's folder with checkpoints
  std::string other;       ///< checkpoint to compare with; empty: describe `checkpoint`
  bool verify = false;     ///< check every byte against the checksums
  bool deck = false;       ///< print the deck too
  bool optimizer = false;  ///< list the optimizer's tensors too
};

/// Inspects a checkpoint on one rank, and prints to stdout. Returns the exit code: 1 if two
/// checkpoints' tensors differ, else 0. Throws Error for folders without a complete checkpoint.
[[nodiscard]] int inspect(const InspectOptions& options);

}  // namespace trireme
