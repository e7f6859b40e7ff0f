// SPDX-License-Identifier: Apache-2.0
// Decides which parameters train.
#include "trireme/model/trained.hpp"

#include <algorithm>
#include <limits>

#include "trireme/model/transformer.hpp"

namespace trireme {

namespace {

bool any_found_in(const std::vector<NamePattern>& patterns, const std::string& name) {
  return std::ranges::any_of(patterns, [&](const NamePattern& p) { return p.found_in(name); });
}

}  // namespace

std::vector<NamePattern> name_patterns(const char* key,
                                       const std::vector<std::string>& patterns) {
  std::vector<NamePattern> made;
  for (const std::string& pattern : patterns) {
    try {
      made.emplace_back(pattern);
    } catch (const Error& e) {
      throw Error(
          fmt::format("{}: '{}' is not a regular expression ({})", key, pattern, e.what()));
    }
  }
  return made;
}

TrainedParameters::TrainedParameters(const ModelConfig& config)
    : adapters_(config.lora.enabled()),
      only_(name_patterns("train_only", config.train_only)),
      freeze_(name_patterns("freeze", config.freeze)) {}

bool TrainedParameters::trains(const Parameter& p) const {
  if (any_found_in(freeze_, p.name)) return false;
  const bool is_new = p.role == ParameterRole::adapter || p.role == ParameterRole::classifier;
  if (adapters_ && is_new) return true;
  return any_found_in(only_, p.name) || (only_.empty() && !adapters_);
}

TrainedCount count_trained(const ModelConfig& config) {
  TrainedCount count;
  visit_model(config, [&](int, const Parameter& p) {
    if (p.role == ParameterRole::tied_copy) return;
    count.all += p.global_shape.count();
    if (p.trains) count.trained += p.global_shape.count();
  });
  return count;
}

int first_trained_unit(const ModelConfig& config) {
  if (TrainedParameters(config).all()) return 0;
  int first = std::numeric_limits<int>::max();
  int units = 0;
  visit_model(config, [&](int unit, const Parameter& p) {
    units = unit + 1;
    if (p.trains) first = std::min(first, unit);
  });
  return std::min(first, units);
}

std::vector<std::string> parameter_name_patterns(const ModelConfig& config) {
  ModelConfig shallow = config;
  shallow.num_layers = 1;
  std::vector<std::string> names;
  visit_model(shallow, [&](int, const Parameter& p) {
    if (p.role == ParameterRole::tied_copy) return;
    constexpr std::string_view kFirst = "layers.0.";
    names.push_back(p.name.starts_with(kFirst) ? "layers.N." + p.name.substr(kFirst.size())
                                               : p.name);
  });
  return names;
}

}  // namespace trireme
