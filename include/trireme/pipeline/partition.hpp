// SPDX-License-Identifier: Apache-2.0
// Cuts a model's layers into the consecutive parts of a pipeline (`pipe_partition_method`).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

// Type names are those of GPT-NeoX, so that a deck's regular expression means the same here.
inline constexpr std::string_view kEmbeddingUnit = "EmbeddingPipe";
inline constexpr std::string_view kLayerUnit = "ParallelTransformerLayerPipe";
inline constexpr std::string_view kNormUnit = "NormPipe";
inline constexpr std::string_view kHeadUnit = "ParallelLinearPipe";

/// What can't be cut further: an embedding, a transformer layer, a norm, an output matrix.
struct PipelineUnit {
  std::string type;
  std::int64_t parameters = 0;
};

/// The first unit of each part and, last, the number of units: parts + 1 increasing numbers.
/// Part i holds units [result[i], result[i+1]) and is never empty. `parts` is stages × chunks.
/// Methods, in any case of letters:
///   uniform     as many units in each part as in another, the first parts one more
///   parameters  the largest part has as few parameters as can be; of such cuts the evenest
///               (least sum of squares)
///   type:REGEX  units whose type matches (ECMAScript, anywhere in the name, any case) are
///               spread like `uniform`; the others stay with the match before them, those
///               before the first match with the first part
/// Throws Error on an unknown method, a bad REGEX, and where there are more parts than units or
/// matches. Equal on every rank.
[[nodiscard]] std::vector<int> partition(std::string_view method,
                                         std::span<const PipelineUnit> units, int parts);

}  // namespace trireme
