// SPDX-License-Identifier: Apache-2.0
// Means and their standard errors.
#include "statistics.hpp"

#include <cmath>

namespace trireme::tasks {

Estimate mean_of(std::span<const double> numbers) {
  const auto n = static_cast<double>(numbers.size());
  double sum = 0;
  for (const double x : numbers) sum += x;
  Estimate estimate{.value = sum / n};
  if (numbers.size() < 2) return estimate;
  double squares = 0;
  for (const double x : numbers) squares += (x - estimate.value) * (x - estimate.value);
  estimate.error = std::sqrt(squares / (n - 1)) / std::sqrt(n);
  return estimate;
}

Estimate perplexity_of(std::span<const double> log_likelihoods) {
  const Estimate mean = mean_of(log_likelihoods);
  Estimate estimate{.value = std::exp(-mean.value)};
  if (mean.error) estimate.error = *mean.error * estimate.value;
  return estimate;
}

}  // namespace trireme::tasks
