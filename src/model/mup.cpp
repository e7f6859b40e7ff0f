// SPDX-License-Identifier: Apache-2.0
// Maximal update parametrization: Yang et al., arXiv 2203.03466, table 8. GPT-NeoX's details
// are those of the package `mup`.
#include "trireme/model/mup.hpp"

#include <cmath>

#include "trireme/model/transformer.hpp"

namespace trireme {

namespace {

/// The parameter's name in layer 0.
std::string name_in_first_layer(const std::string& name) {
  constexpr std::string_view kLayers = "layers.";
  if (!name.starts_with(kLayers)) return name;
  return "layers.0" + name.substr(std::min(name.find('.', kLayers.size()), name.size()));
}

double growth(std::int64_t width, std::int64_t base) {
  return width == base ? 1 : static_cast<double>(width) / static_cast<double>(base);
}

}  // namespace

ModelConfig mup_base_model(const ModelConfig& model) {
  const MupConfig& mup = model.mup;
  const auto own = [](std::int64_t said, std::int64_t other) {
    return said > 0 ? said : other;
  };
  ModelConfig base = model;
  base.mup = {};
  base.hidden_size = mup.hidden_size;
  base.num_attention_heads = own(mup.num_attention_heads, model.num_attention_heads);
  base.num_kv_heads = own(mup.num_kv_heads, base.num_attention_heads * model.num_kv_heads /
                                                model.num_attention_heads);
  base.kv_channels = own(mup.kv_channels, model.kv_channels);
  const std::int64_t inner =
      own(mup.mlp_width, model.mlp_inner() * mup.hidden_size / model.hidden_size);
  base.intermediate_size = gated(model.activation) ? 2 * inner : inner;
  return base;
}

MupConfig mup_widths_of(const ModelConfig& model) {
  MupConfig widths = model.mup;
  widths.hidden_size = model.hidden_size;
  widths.num_attention_heads = model.num_attention_heads;
  widths.num_kv_heads = model.num_kv_heads;
  widths.kv_channels = model.head_dim();
  widths.mlp_width = model.mlp_inner();
  return widths;
}

WidthScales::WidthScales(const ModelConfig& model) {
  if (!model.mup.enabled) return;
  const ModelConfig base = mup_base_model(model);
  for (const UnitKind kind :
       {UnitKind::embedding, UnitKind::layer, UnitKind::norm, UnitKind::head}) {
    visit_unit(base, kind, [&](const Parameter& p) { base_.emplace(p.name, p.global_shape); });
  }
}

WidthScale WidthScales::of(const Parameter& parameter) const {
  if (base_.empty()) return {};
  const auto at = base_.find(name_in_first_layer(parameter.name));
  TRM_CHECK(at != base_.end(), "muP's base model has no {}", parameter.name);
  const Shape& whole = parameter.global_shape;
  const int last = whole.rank() - 1;
  WidthScale scale{.out = growth(whole[0], at->second[0]),
                   .in = growth(whole[last], at->second[last])};
  // A vocabulary and positions don't grow with the width.
  scale.matrix = last == 1 && parameter.role == ParameterRole::weight &&
                 !parameter.name.starts_with("embed");
  return scale;
}

double mup_init_factor(const MupConfig& mup, const Parameter& parameter) {
  if (!mup.enabled) return 1;
  const WidthScale& width = parameter.width;
  double factor = mup.init_scale;
  if (width.matrix) factor /= std::sqrt(width.in);
  const bool xavier = parameter.init == InitMethod::xavier_normal ||
                      parameter.init == InitMethod::xavier_uniform;
  if (!xavier) return factor;
  const auto rows = static_cast<double>(parameter.global_shape[0]);
  const auto columns = static_cast<double>(parameter.global_shape[1]);
  return factor * std::sqrt((rows + columns) / (rows / width.out + columns / width.in));
}

}  // namespace trireme
