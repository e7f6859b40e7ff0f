// SPDX-License-Identifier: Apache-2.0
// The moving average of a run's weights (key ema) in place of the weights.
#pragma once

#include <string>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"

namespace trireme {

/// Another source's parameters, each by its average where there is one. Frozen parameters have
/// none. Other arrays of the optimizer are gone but for the masters of such parameters.
class AveragedWeights final : public WeightSource {
 public:
  /// `from` must outlive this source. Throws Error that names `folder` if `from` has no
  /// average.
  AveragedWeights(WeightSource& from, const std::string& folder);

  [[nodiscard]] bool has(const std::string& name) const override;
  [[nodiscard]] Shape global_shape(const std::string& name) const override;
  [[nodiscard]] DType dtype(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> names() const override;
  using WeightSource::read;
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override;

 private:
  /// The other source's name of what `name` stands for here.
  [[nodiscard]] std::string source_of(const std::string& name) const;

  WeightSource& from_;
};

}  // namespace trireme
