// SPDX-License-Identifier: Apache-2.0
// How well a model classifies: counts of a whole evaluation, and the scores that follow.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trireme/comm/communicator.hpp"

namespace trireme {

/// What an evaluation says of a model that classifies.
struct ClassScores {
  double accuracy = 0;  ///< share of samples whose class the model gives
  double top5 = -1;     ///< ... or has among its five likeliest; below 0: five classes or less
  /// Mean over classes of 2 · right / (occurs + given). A class occurs as that of samples, and
  /// is given to samples. Classes with neither are left out.
  double macro_f1 = 0;
  /// Samples of class i to which the model gives class j, [classes, classes] in row-major
  /// order. Empty with more than kMostMatrixClasses.
  std::vector<std::int64_t> confusion{};
};

inline constexpr std::int64_t kMostMatrixClasses = 1024;

/// Counts samples, one after another. A model gives the class of the greatest logit, and the
/// first of equal ones.
class ClassCounts {
 public:
  explicit ClassCounts(std::int64_t classes);

  /// A sample's logits, one a class. `target` is its class; below 0: it doesn't count.
  void add(std::span<const float> logits, std::int32_t target);
  /// Sums over the ranks of `world`. Collective.
  void reduce(Communicator& world);
  [[nodiscard]] ClassScores scores() const;

 private:
  [[nodiscard]] std::span<double> part(std::size_t number);
  [[nodiscard]] std::span<const double> part(std::size_t number) const;

  std::size_t classes_;
  /// Samples of each class, samples to which it is given, and those of both; then samples whose
  /// class is among five; then the matrix.
  std::vector<double> counts_;
};

}  // namespace trireme
