// SPDX-License-Identifier: Apache-2.0
// `trireme convert FROM TO` and `trireme deck FOLDER`: published models to checkpoints and
// back.
#pragma once

#include <string>

namespace trireme {

struct ConvertModelOptions {
  std::string from;  ///< a published model's folder, a checkpoint, or a run's folder
  std::string to;    ///< the folder to make
  std::string type;  ///< "float32", "bfloat16", "float16"; empty: the source's
  std::string most_bytes = "5GB";  ///< limit for each file of weights
  std::string model_type;          ///< "llama"; empty: the first that fits
  bool averages = false;           ///< take the moving average of a checkpoint's weights
  bool adapters = false;           ///< write a checkpoint's adapters alone, as PEFT has them
};

/// Writes a published model as a checkpoint, or a checkpoint as a published model, on one rank
/// and in bounded memory. Prints what it did. Throws Error, and leaves no folder behind it.
void convert_model(const ConvertModelOptions& options);

/// Prints the deck that trains on from a published model's folder.
void print_deck_of_model(const std::string& folder);

}  // namespace trireme
