// SPDX-License-Identifier: Apache-2.0
// Means over the ranks of the run that saved.
#include "mean_of_rows.hpp"

#include <algorithm>
#include <string_view>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

constexpr std::string_view kMomentum = "optimizer/exp_avg/";
constexpr std::string_view kLocal = "optimizer/local_exp_avg/";

}  // namespace

Shape behind(std::int64_t first, const Shape& shape) {
  std::vector<std::int64_t> extents{first};
  extents.insert(extents.end(), shape.extents().begin(), shape.extents().end());
  return Shape(std::span<const std::int64_t>(extents));
}

Box row_of(int row, const Box& box) { return {behind(row, box.offset), behind(1, box.extent)}; }

std::vector<float> mean_of_rows(WeightSource& source, const std::string& name, const Box& box) {
  const auto ranks = static_cast<int>(source.global_shape(name)[0]);
  const auto count = static_cast<std::size_t>(box.count());
  std::vector<double> sum(count);
  std::vector<float> row(count);
  for (int rank = 0; rank < ranks; ++rank) {
    const Box one = row_of(rank, box);
    read_as(source, name, one, View(row.data(), DType::f32, one.extent));
    for (std::size_t i = 0; i < count; ++i) sum[i] += static_cast<double>(row[i]);
  }
  std::vector<float> mean(count);
  for (std::size_t i = 0; i < count; ++i) mean[i] = static_cast<float>(sum[i] / ranks);
  return mean;
}

std::string MeanMomentum::rows_of(const std::string& name) const {
  if (!name.starts_with(kMomentum) || source_.has(name)) return {};
  std::string rows = std::string(kLocal) + name.substr(kMomentum.size());
  return source_.has(rows) ? rows : std::string();
}

bool MeanMomentum::has(const std::string& name) const {
  return source_.has(name) || !rows_of(name).empty();
}

Shape MeanMomentum::global_shape(const std::string& name) const {
  const std::string rows = rows_of(name);
  if (rows.empty()) return source_.global_shape(name);
  const Shape all = source_.global_shape(rows);
  return Shape(all.extents().subspan(1));
}

DType MeanMomentum::dtype(const std::string& name) const {
  return rows_of(name).empty() ? source_.dtype(name) : DType::f32;
}

void MeanMomentum::read(const std::string& name, const Shape& global, const Box& box,
                        const View& to) {
  const std::string rows = rows_of(name);
  if (rows.empty()) return source_.read(name, global, box, to);
  TRM_REQUIRE(global_shape(name) == global, "{} has shape {} in the checkpoint instead of {}",
              rows, global_shape(name).str(), global.str());
  std::ranges::copy(mean_of_rows(source_, rows, box), to.data<float>());
}

}  // namespace trireme
