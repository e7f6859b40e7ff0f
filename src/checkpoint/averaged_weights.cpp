// SPDX-License-Identifier: Apache-2.0
// Names of averages.
#include "trireme/checkpoint/averaged_weights.hpp"

#include <algorithm>
#include <string_view>

namespace trireme {

namespace {

constexpr std::string_view kModel = "model/";
constexpr std::string_view kMaster = "optimizer/master/";
constexpr std::string_view kAverage = "optimizer/ema/";

std::string average_of(std::string_view name, std::string_view kind) {
  return std::string(kAverage) + std::string(name.substr(kind.size()));
}

}  // namespace

AveragedWeights::AveragedWeights(WeightSource& from, const std::string& folder) : from_(from) {
  const auto names = from.names();
  const bool any = std::ranges::any_of(
      names, [](const std::string& name) { return name.starts_with(kAverage); });
  TRM_REQUIRE(any,
              "--ema: {} holds no moving average of the weights: a run keeps one with ema: "
              "{{enable: true}}",
              folder);
}

std::string AveragedWeights::source_of(const std::string& name) const {
  if (!name.starts_with(kModel)) return name;
  const std::string average = average_of(name, kModel);
  return from_.has(average) ? average : name;
}

bool AveragedWeights::has(const std::string& name) const {
  if (name.starts_with(kModel)) return from_.has(name);
  return name.starts_with(kMaster) && from_.has(name) && !from_.has(average_of(name, kMaster));
}

Shape AveragedWeights::global_shape(const std::string& name) const {
  return from_.global_shape(source_of(name));
}

DType AveragedWeights::dtype(const std::string& name) const {
  return from_.dtype(source_of(name));
}

std::vector<std::string> AveragedWeights::names() const {
  std::vector<std::string> names = from_.names();
  std::erase_if(names, [this](const std::string& name) { return !has(name); });
  return names;
}

void AveragedWeights::read(const std::string& name, const Shape& global, const Box& box,
                           const View& to) {
  from_.read(source_of(name), global, box, to);
}

}  // namespace trireme
