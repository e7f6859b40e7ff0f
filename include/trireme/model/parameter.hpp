// SPDX-License-Identifier: Apache-2.0
// Parameters: names, the shard of each that a rank holds, and the memory of this shard.
#pragma once

#include <functional>
#include <string>

#include "trireme/comm/axes.hpp"
#include "trireme/model/config.hpp"
#include "trireme/ops/exec.hpp"
#include "trireme/tensor/box.hpp"

namespace trireme {

/// The role of a parameter in the model, for code that lays parameters out.
enum class ParameterRole : std::uint8_t {
  weight,           ///< any other
  adapter,          ///< a low-rank adapter's matrix
  classifier,       ///< a part of the head that classifies texts
  token_embedding,  ///< the table that maps tokens to rows; the output matrix, if tied
  tied_copy         ///< the last stage's copy of that table
};

/// How much wider a parameter is than in muP's base model.
struct WidthScale {
  double out = 1;       ///< rows over those of the base model; a vector has in = out
  double in = 1;        ///< columns
  bool matrix = false;  ///< both rows and columns grow with the width
  friend bool operator==(const WidthScale&, const WidthScale&) = default;
};

/// This rank's shard of one global array of weights. Whoever owns the memory binds `value` and
/// `grad`, windows of shape box.extent. Both may be empty outside of uses of the parameter, and
/// `grad` is always empty if the parameter doesn't train.
struct Parameter {
  std::string name;    ///< Hugging Face's for GPT-NeoX (gated MLPs: Llama's)
  Shape global_shape;  ///< true extents, without padding
  Box box;             ///< the shard that this rank holds
  InitMethod init = InitMethod::normal;
  bool decay = true;   ///< takes weight decay
  bool trains = true;  ///< false: keeps its value, and has no gradient
  ParameterRole role = ParameterRole::weight;
  WidthScale width;   ///< without muP, of the model itself
  Axes sharded_over;  ///< axes along which ranks hold different shards
  Axes sum_over;      ///< axes, besides dp, along which ranks hold addends of the gradient

  View value;
  View grad;
};

using ParameterVisitor = std::function<void(Parameter&)>;

/// Consecutive rows of an array: the share of one rank.
struct RowRange {
  std::int64_t offset = 0;
  std::int64_t extent = 0;
};
/// Share number `part` of `parts`, as even as possible, of `total` rows.
[[nodiscard]] RowRange shard_rows(std::int64_t total, int part, int parts);
/// A share of a vocabulary: in blocks of 8 rows where there are enough blocks for all shares.
/// No share is empty if vocab_size ≥ parts.
[[nodiscard]] RowRange shard_vocabulary(std::int64_t vocab_size, int part, int parts);

}  // namespace trireme
