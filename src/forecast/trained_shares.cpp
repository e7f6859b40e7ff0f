// SPDX-License-Identifier: Apache-2.0
// Counts trained parameters by unit.
#include "trained_shares.hpp"

#include <algorithm>

#include "trireme/model/trained.hpp"

namespace trireme {

std::vector<double> trained_shares(const ModelConfig& m) {
  const auto units = static_cast<std::size_t>(m.num_layers) + 3;
  if (TrainedParameters(m).all()) return std::vector<double>(units, 1);
  std::vector<double> all(units);
  std::vector<double> trained(units);
  visit_model(m, [&](int unit, const Parameter& p) {
    const auto u = static_cast<std::size_t>(unit);
    all[u] += static_cast<double>(p.global_shape.count());
    if (p.trains) trained[u] += static_cast<double>(p.global_shape.count());
  });
  for (std::size_t u = 0; u < units; ++u) trained[u] /= std::max(all[u], 1.0);
  return trained;
}

}  // namespace trireme
