// SPDX-License-Identifier: Apache-2.0
// Partitions a model's layers into consecutive model parts (`pipe_partition_method`).
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

// A perceptron's layers, the last one too, match GPT-NeoX's default, type:transformer|mlp.
inline constexpr std::string_view kInputUnit = "InputPipe";
inline constexpr std::string_view kPerceptronUnit = "MLPPipe";

/// What can't be split further: an embedding, a transformer layer, a norm, an output matrix.
struct PipelineUnit {
  std::string type;
  std::int64_t parameters = 0;
  std::int64_t operations = 0;  ///< FLOPs of a training step, up to one factor of all units
};

/// The first unit of each part and, last, the number of units: parts + 1 increasing numbers.
/// Part i holds units [result[i], result[i+1]) and is never empty. `parts` is stages × chunks.
/// Methods, in any case of letters:
///   uniform     equal numbers of units; a remainder goes to the first parts
///   parameters  the largest part is as small as possible; among equals, the most even
///               (least sum of squares)
///   flops       likewise, with operations in place of parameters
///   type:REGEX  units whose type matches (ECMAScript, anywhere in the name, any case) are
///               spread like `uniform`; other units stay with the match before them, and
///               units before the first match go to the first part
/// Throws Error on an unknown method, a bad REGEX, and where there are more parts than units or
/// matches. Equal on every rank.
[[nodiscard]] std::vector<int> partition(std::string_view method,
                                         std::span<const PipelineUnit> units, int parts);

}  // namespace trireme
