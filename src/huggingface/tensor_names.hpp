// SPDX-License-Identifier: Apache-2.0
// Which rows of which published tensors make up each parameter, and the other way round.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/model/config.hpp"

#include "families/family.hpp"
#include "mapped_source.hpp"

namespace trireme::huggingface {

/// The end of a matrix's name.
inline constexpr std::string_view kWeight = ".weight";

struct NamedShape {
  std::string name;
  Shape shape;
};
/// Every parameter of a model once, in the order of a forward pass.
[[nodiscard]] std::vector<NamedShape> parameters_of(const ModelConfig& model);

/// How each parameter, under its name in checkpoints, is made of the family's tensors. Throws
/// Error if the family has no tensor for a parameter.
[[nodiscard]] std::map<std::string, TensorMap> parameters_from(const Family& family,
                                                               const ModelConfig& model);

/// How each of the family's tensors is made of a source's parameters.
[[nodiscard]] std::map<std::string, TensorMap> tensors_from(const Family& family,
                                                            const ModelConfig& model,
                                                            const WeightSource& source);

/// The maps that undo these, over tensors named by the maps: what `from` is made of.
[[nodiscard]] std::map<std::string, TensorMap> inverse(
    const std::map<std::string, TensorMap>& maps);

}  // namespace trireme::huggingface
