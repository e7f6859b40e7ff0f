// SPDX-License-Identifier: Apache-2.0
// Writes adapters alone, as PEFT loads them beside a published model.
#pragma once

#include "trireme/huggingface/export.hpp"

namespace trireme::huggingface {

struct ExportedAdapters {
  std::string model_type;     ///< the model beside which they stand
  std::int64_t matrices = 0;  ///< the model's matrices that have one
};

/// Writes adapter_model.safetensors and adapter_config.json. Where a matrix with an adapter is
/// several in the published model, each gets A and its rows of B in full. The folder gets its
/// name when all is written. Throws Error if the folder exists, if the deck has no adapters, or
/// if no type of model is what the deck describes.
ExportedAdapters write_adapter_folder(WeightSource& source, const Deck& deck,
                                      const ExportOptions& options);

}  // namespace trireme::huggingface
