// SPDX-License-Identifier: Apache-2.0
// muP's base model, and the factors that follow from the widths of both models.
#pragma once

#include <map>
#include <string>

#include "trireme/model/parameter.hpp"

namespace trireme {

/// The model without muP, in the widths of the base model. Head counts that muP leaves out are
/// the model's, in its ratio of query heads to key and value heads. The width of a head is the
/// model's `kv_channels`, and the MLP's has the proportion of the model's to hidden_size.
[[nodiscard]] ModelConfig mup_base_model(const ModelConfig& model);

/// The widths of a model, as the base of wider models.
[[nodiscard]] MupConfig mup_widths_of(const ModelConfig& model);

/// How much wider each parameter is than the base model's. Layers are alike.
class WidthScales {
 public:
  /// Without muP, all parameters have the width of the base model.
  explicit WidthScales(const ModelConfig& model);
  [[nodiscard]] WidthScale of(const Parameter& parameter) const;

 private:
  std::map<std::string, Shape> base_;  ///< shapes in layer 0
};

/// The factor of a parameter's initial standard deviation. With m the growth of a matrix's
/// columns, and n = rows + columns:
///   matrices of layers   init_scale / √m
///   all others           init_scale
/// The xavier methods, whose deviation falls with n, also multiply by √(n / n of the base).
[[nodiscard]] double mup_init_factor(const MupConfig& mup, const Parameter& parameter);

}  // namespace trireme
