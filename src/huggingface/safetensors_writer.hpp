// SPDX-License-Identifier: Apache-2.0
// Writes tensors of a source as safetensors files, a bounded piece at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "trireme/checkpoint/weight_source.hpp"

namespace trireme::huggingface {

struct FilesToWrite {
  WeightSource& source;
  DType type = DType::f32;
  std::int64_t most_bytes = 0;                            ///< limit for each file's tensors
  std::function<void(std::int64_t bytes)> progress = {};  ///< bytes so far; may be empty
};

/// Writes model.safetensors into the folder if all tensors fit one file. Else writes
/// model-00001-of-0000N.safetensors … and model.safetensors.index.json. Throws Error.
void write_files(const std::string& folder, const FilesToWrite& what);

}  // namespace trireme::huggingface
