// SPDX-License-Identifier: Apache-2.0
// Which parameters of a model train: the choice by names, and what follows from it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/model/name_pattern.hpp"
#include "trireme/model/parameter.hpp"

namespace trireme {

/// ModelConfig::train_only, ::freeze and ::lora as one decision.
class TrainedParameters {
 public:
  /// Throws Error on a pattern that is no regular expression.
  explicit TrainedParameters(const ModelConfig& config);
  [[nodiscard]] bool trains(const Parameter& p) const;
  /// Whether every parameter trains, whatever its name.
  [[nodiscard]] bool all() const { return !adapters_ && only_.empty() && freeze_.empty(); }

 private:
  bool adapters_;
  std::vector<NamePattern> only_;
  std::vector<NamePattern> freeze_;
};

/// Compiles a deck's patterns. Throws Error that names `key` and the bad pattern.
[[nodiscard]] std::vector<NamePattern> name_patterns(const char* key,
                                                     const std::vector<std::string>& patterns);

/// Visits the parameters of the whole model, as one rank has them, with the number of their
/// unit. Parameters have no memory. A tied head has the embedding's table as a tied_copy.
void visit_model(const ModelConfig& config, const std::function<void(int unit, Parameter&)>& f);

/// The names of an adapter's matrices: that of the weight without ".weight", and one of these.
inline constexpr std::string_view kLoraA = ".lora_A.weight";
inline constexpr std::string_view kLoraB = ".lora_B.weight";

struct TrainedCount {
  std::int64_t all = 0;  ///< parameters of the model; tied matrices count once
  std::int64_t trained = 0;
};
[[nodiscard]] TrainedCount count_trained(const ModelConfig& config);

/// The first unit of the model with a parameter that trains: backward ends with this unit. The
/// number of units if none trains.
[[nodiscard]] int first_trained_unit(const ModelConfig& config);

/// Whether the configuration puts an adapter beside the matrix of this name, such as
/// "layers.3.attention.dense". The number of the layer doesn't count.
[[nodiscard]] bool has_adapter(const LoraConfig& config, std::string_view matrix);

/// Names of all parameters, in order, with N for numbers of layers.
[[nodiscard]] std::vector<std::string> parameter_name_patterns(const ModelConfig& config);

}  // namespace trireme
