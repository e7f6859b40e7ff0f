// SPDX-License-Identifier: Apache-2.0
// Arrays with a row for each rank of dp, read as their mean over the ranks of the saved run.
#pragma once

#include <string>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"

namespace trireme {

/// `shape` behind one more axis.
[[nodiscard]] Shape behind(std::int64_t first, const Shape& shape);
/// A box behind one more axis, where row `row` is.
[[nodiscard]] Box row_of(int row, const Box& box);

/// The mean over all rows of a box, as fp32.
[[nodiscard]] std::vector<float> mean_of_rows(WeightSource& source, const std::string& name,
                                              const Box& box);

/// A checkpoint in which each rank's momentum, "optimizer/local_exp_avg/NAME", stands also as
/// the mean "optimizer/exp_avg/NAME". Adam goes on from ZeroOneAdam's state in this way.
class MeanMomentum final : public WeightSource {
 public:
  /// `source` must outlive the object.
  explicit MeanMomentum(WeightSource& source) : source_(source) {}

  [[nodiscard]] bool has(const std::string& name) const override;
  [[nodiscard]] Shape global_shape(const std::string& name) const override;
  [[nodiscard]] DType dtype(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> names() const override { return source_.names(); }
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override;

 private:
  /// The array of rows that stands for `name`; empty: `name` stands for itself.
  [[nodiscard]] std::string rows_of(const std::string& name) const;

  WeightSource& source_;
};

}  // namespace trireme
