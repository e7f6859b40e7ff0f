// SPDX-License-Identifier: Apache-2.0
// Parameters, and the flat arrays in which a rank keeps all of its own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trireme/model/config.hpp"
#include "trireme/ops/exec.hpp"
#include "trireme/tensor/box.hpp"

namespace trireme {

/// A part of one global array of weights. `value` and `grad` are windows of shape box.extent,
/// bound by a ParameterStore.
struct Parameter {
  std::string name;    ///< as in Hugging Face's GPT-NeoX (gated MLPs: Llama's)
  Shape global_shape;  ///< true extents, without padding
  Box box;             ///< the part that this rank holds
  InitMethod init = InitMethod::normal;
  bool decay = true;          ///< takes weight decay
  bool replicated_tp = true;  ///< every rank of tp holds the same part: norms count it once
  bool sum_over_tp = false;   ///< ranks of tp hold only addends of the gradient
  bool tied_copy = false;     ///< the last stage's copy of embed_in.weight
  int uses = 1;               ///< units of this stage that add to the gradient

  View value;
  View grad;
};

using ParameterVisitor = std::function<void(Parameter&)>;

/// One flat array of values and one of gradients, in the order of the parameters given: what
/// reductions and the optimizer work on. Parameters start at multiples of 16 elements; the gaps
/// stay zero.
class ParameterStore {
 public:
  /// Allocates and binds. `parameters` must outlive the store; a parameter may appear twice.
  ParameterStore(const Exec& ex, DType dtype, const std::vector<Parameter*>& parameters);

  /// Initial weights, the same for every mesh: each element is keyed by seed, name and place.
  void initialize(const Exec& ex, const ModelConfig& config, std::uint64_t seed);
  void zero_gradients(const Exec& ex);

  [[nodiscard]] const std::vector<Parameter*>& parameters() const { return parameters_; }
  [[nodiscard]] View values() const { return values_.view(); }
  [[nodiscard]] View gradients() const { return gradients_.view(); }
  /// First element of parameter i in the flat arrays.
  [[nodiscard]] std::int64_t offset(std::size_t i) const { return offsets_[i]; }

 private:
  std::vector<Parameter*> parameters_;
  std::vector<std::int64_t> offsets_;
  Tensor values_;
  Tensor gradients_;
};

/// The part of `total` rows that rank `part` of `parts` holds: equal parts, or, where they
/// don't divide, all but the last of equal size, rounded up to a multiple of `align` unless
/// that leaves the last nothing.
struct Cut {
  std::int64_t offset = 0;
  std::int64_t extent = 0;
};
[[nodiscard]] Cut cut(std::int64_t total, int part, int parts, std::int64_t align = 1);

}  // namespace trireme
