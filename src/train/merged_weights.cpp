// SPDX-License-Identifier: Apache-2.0
// Merges adapters, a box at a time.
#include "trireme/train/merged_weights.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "trireme/core/convert.hpp"
#include "trireme/model/trained.hpp"

namespace trireme {

namespace {

constexpr std::string_view kModel = "model/";
constexpr std::string_view kWeight = ".weight";

bool is_of_adapter(std::string_view name) {
  return name.ends_with(kLoraA) || name.ends_with(kLoraB);
}

/// The parameter's name; empty if the name is that of another array or of an adapter.
std::string parameter_of(std::string_view name) {
  if (!name.starts_with(kModel) || is_of_adapter(name)) return {};
  return std::string(name.substr(kModel.size()));
}

/// "layers.0.mlp.up_proj" if this matrix has an adapter in the source, else empty.
std::string adapted(const WeightSource& from, const std::string& parameter) {
  if (!parameter.ends_with(kWeight)) return {};
  std::string matrix = parameter.substr(0, parameter.size() - kWeight.size());
  return from.has(fmt::format("{}{}{}", kModel, matrix, kLoraA)) ? matrix : "";
}

}  // namespace

bool MergedWeights::has(const std::string& name) const {
  return !parameter_of(name).empty() && from_.has(name);
}

Shape MergedWeights::global_shape(const std::string& name) const {
  return from_.global_shape(name);
}

DType MergedWeights::dtype(const std::string& name) const {
  const std::string parameter = parameter_of(name);
  if (!adapted(from_, parameter).empty()) return DType::f32;
  return from_.dtype(most_precise(from_, parameter));
}

std::vector<std::string> MergedWeights::names() const {
  std::vector<std::string> names = from_.names();
  std::erase_if(names, [](const std::string& n) { return parameter_of(n).empty(); });
  return names;
}

void MergedWeights::read(const std::string& name, const Shape& global, const Box& box,
                         const View& to) {
  const std::string parameter = parameter_of(name);
  TRM_CHECK(!parameter.empty(), "{} is no parameter", name);
  const std::string matrix = adapted(from_, parameter);
  if (matrix.empty()) return from_.read(most_precise(from_, parameter), global, box, to);
  TRM_CHECK(global == from_.global_shape(name) && global.rank() == 2, "{} is {}, not {}", name,
            from_.global_shape(name).str(), global.str());
  const std::vector<float> values = read_wide(parameter, box);
  std::memcpy(to.data<float>(), values.data(), values.size() * sizeof(float));
  add_adapter(matrix, box, to);
}

std::vector<float> MergedWeights::read_wide(const std::string& parameter, const Box& box) {
  const std::string name = most_precise(from_, parameter);
  const DType type = from_.dtype(name);
  std::vector<std::byte> stored(static_cast<std::size_t>(box.count()) * size_of(type));
  from_.read(name, box, View(stored.data(), type, box.extent));
  std::vector<float> values(static_cast<std::size_t>(box.count()));
  widen(type, stored.data(), values.data(), box.count());
  return values;
}

void MergedWeights::add_adapter(const std::string& matrix, const Box& box, const View& to) {
  const std::string name_a = fmt::format("{}{}", matrix, kLoraA);
  const std::string name_b = fmt::format("{}{}", matrix, kLoraB);
  const std::int64_t rank = from_.global_shape(std::string(kModel) + name_a)[0];
  const std::int64_t rows = box.extent[0];
  const std::int64_t cols = box.extent[1];
  const auto a = read_wide(name_a, Box(Shape{0, box.offset[1]}, Shape{rank, cols}));
  const auto b = read_wide(name_b, Box(Shape{box.offset[0], 0}, Shape{rows, rank}));
  const auto scale = static_cast<float>(lora_.scale());
  std::vector<float> sums(static_cast<std::size_t>(cols));
  float* const sum = sums.data();
  for (std::int64_t i = 0; i < rows; ++i) {
    std::ranges::fill(sums, 0.0F);
    for (std::int64_t r = 0; r < rank; ++r) {
      const float factor = b[static_cast<std::size_t>(i * rank + r)];
      const float* const of_a = a.data() + r * cols;
      for (std::int64_t j = 0; j < cols; ++j) sum[j] += factor * of_a[j];
    }
    float* const out = to.data<float>() + i * cols;
    for (std::int64_t j = 0; j < cols; ++j) out[j] += scale * sum[j];
  }
}

}  // namespace trireme
