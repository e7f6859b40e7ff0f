// SPDX-License-Identifier: Apache-2.0
// `trireme inspect`: describes and verifies checkpoints and token files, compares checkpoints.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

struct InspectOptions {
  /// A checkpoint's folder, a run's folder with checkpoints, or a token file.
  std::string checkpoint;
  std::string other;           ///< checkpoint to compare with; empty: describe `checkpoint`
  bool verify = false;         ///< check every byte against the checksums
  bool deck = false;           ///< print the deck too
  bool optimizer = false;      ///< list the optimizer's tensors too
  std::int64_t step = 0;       ///< for a run: print the samples that the step saw
  std::int64_t sample = -1;    ///< … or this sample of the step alone
  std::int64_t document = -1;  ///< for data: print this document
};

/// Inspects a checkpoint or a token file on one rank, and prints to stdout. Returns the exit
/// code: 1 if two checkpoints' tensors differ, else 0. Throws Error for folders without a
/// complete checkpoint, and for damaged files.
[[nodiscard]] int inspect(const InspectOptions& options);

/// Finds the checkpoint that a path on the command line stands for. A checkpoint's folder,
/// whatever its name, stands for itself. A run's folder stands for the checkpoint that the run
/// would resume from. Throws Error if there is none.
[[nodiscard]] std::string find_checkpoint(const std::string& given);

}  // namespace trireme
