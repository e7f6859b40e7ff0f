// SPDX-License-Identifier: Apache-2.0
// The weights of a model with adapters as those of a model without: W + scale · B A.
#pragma once

#include <string>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/model/config.hpp"

namespace trireme {

/// The parameters of another source, each with its adapter merged. Sums are computed in fp32,
/// from masters where there are any. Names of adapters and of optimizer state are gone.
class MergedWeights final : public WeightSource {
 public:
  /// `from` must outlive this source.
  MergedWeights(WeightSource& from, const LoraConfig& lora) : from_(from), lora_(lora) {}

  [[nodiscard]] bool has(const std::string& name) const override;
  [[nodiscard]] Shape global_shape(const std::string& name) const override;
  /// f32 for a matrix with an adapter.
  [[nodiscard]] DType dtype(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> names() const override;
  using WeightSource::read;
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override;

 private:
  /// Adds scale · B A, in the box of the matrix, to the fp32 array `to`.
  void add_adapter(const std::string& matrix, const Box& box, const View& to);
  [[nodiscard]] std::vector<float> read_wide(const std::string& parameter, const Box& box);

  WeightSource& from_;
  LoraConfig lora_;
};

}  // namespace trireme
