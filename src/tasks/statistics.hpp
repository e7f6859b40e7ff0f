// SPDX-License-Identifier: Apache-2.0
// Means and their standard errors.
#pragma once

#include <optional>
#include <span>

namespace trireme::tasks {

/// A value, and the standard deviation that it would have over other samples of equal size.
struct Estimate {
  double value = 0;
  std::optional<double> error{};  ///< not known of a single number
};

/// The error is √(Σ (x − mean)² / (n − 1)) / √n.
[[nodiscard]] Estimate mean_of(std::span<const double> numbers);
/// exp(−mean). The error is that of the mean, times the value: the delta method.
[[nodiscard]] Estimate perplexity_of(std::span<const double> log_likelihoods);

}  // namespace trireme::tasks
