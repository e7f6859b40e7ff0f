// SPDX-License-Identifier: Apache-2.0
// The dictionary rope_scaling of config.json, and the deck keys of that name.
#pragma once

#include "family.hpp"

namespace trireme::huggingface {

/// Reads rope_type and the numbers of that type. `most_positions` is the usual length of the
/// first training.
void read_scaling(Fields& config, std::int64_t most_positions, Keys& keys);
/// Reads the scaling of rope_parameters (transformers 5) or of rope_scaling (before). Throws
/// Error where both have one and they differ.
void read_either_scaling(Fields& five, Fields& four, std::int64_t most_positions, Keys& keys);
/// Null without a scaling.
[[nodiscard]] OrderedJson written_scaling(const Keys& keys);

}  // namespace trireme::huggingface
