// SPDX-License-Identifier: Apache-2.0
// Weights under other names: each tensor is made of rows of other tensors. One program's fused,
// transposed or permuted matrix so becomes that of another, box by box.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"

namespace trireme::huggingface {

/// Rows here + i · step_here of a tensor are rows there + i · step_there of `tensor`, for i
/// below `count`.
struct RowRun {
  std::string tensor;
  std::int64_t count = 0;
  std::int64_t here = 0;
  std::int64_t there = 0;
  std::int64_t step_here = 1;
  std::int64_t step_there = 1;
};

/// How a tensor is made. The runs tile its rows. A row is an index of the first axis, or of the
/// second on a side that is transposed.
struct TensorMap {
  Shape shape;
  bool transposed_here = false;
  bool transposed_there = false;
  std::vector<RowRun> runs{};
};

class MappedSource : public WeightSource {
 public:
  /// `from` must outlive this source. Tensors have one or two axes.
  MappedSource(WeightSource& from, std::map<std::string, TensorMap> tensors)
      : from_(from), tensors_(std::move(tensors)) {}

  [[nodiscard]] bool has(const std::string& name) const override;
  [[nodiscard]] Shape global_shape(const std::string& name) const override;
  /// The type of all tensors that a tensor is made of, or f32 where they differ.
  [[nodiscard]] DType dtype(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> names() const override;
  using WeightSource::read;
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override;

 private:
  [[nodiscard]] const TensorMap& map_of(const std::string& name) const;

  WeightSource& from_;
  std::map<std::string, TensorMap> tensors_;
};

}  // namespace trireme::huggingface
