// SPDX-License-Identifier: Apache-2.0
// Parameters: what they are called, which part of them a rank holds, and where it is.
#pragma once

#include <functional>
#include <string>

#include "trireme/comm/axes.hpp"
#include "trireme/model/config.hpp"
#include "trireme/ops/exec.hpp"
#include "trireme/tensor/box.hpp"

namespace trireme {

/// What a parameter is in the model, where that matters to those who lay parameters out.
enum class ParameterRole : std::uint8_t {
  weight,           ///< any other
  token_embedding,  ///< the table that tokens are looked up in; the output matrix, if tied
  tied_copy         ///< the last stage's copy of that table
};

/// A part of one global array of weights. `value` and `grad` are windows of shape box.extent,
/// bound by who owns the memory; outside of uses of the parameter they may be empty.
struct Parameter {
  std::string name;    ///< Hugging Face's for GPT-NeoX (gated MLPs: Llama's)
  Shape global_shape;  ///< true extents, without padding
  Box box;             ///< the part that this rank holds
  InitMethod init = InitMethod::normal;
  bool decay = true;  ///< takes weight decay
  ParameterRole role = ParameterRole::weight;
  Axes sharded_over;  ///< ranks of these hold different parts, of all others the same one
  Axes sum_over;      ///< ranks of these, besides dp, hold addends of the gradient

  View value;
  View grad;
};

using ParameterVisitor = std::function<void(Parameter&)>;

/// Consecutive rows of many.
struct Cut {
  std::int64_t offset = 0;
  std::int64_t extent = 0;
};
/// Part `part` of `parts` of `total` rows, as even as can be.
[[nodiscard]] Cut cut(std::int64_t total, int part, int parts);
/// Part of a vocabulary: in blocks of 8 rows where there are enough blocks for all parts.
/// No part is empty if vocab_size ≥ parts.
[[nodiscard]] Cut cut_vocabulary(std::int64_t vocab_size, int part, int parts);

}  // namespace trireme
