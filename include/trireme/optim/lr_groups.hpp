// SPDX-License-Identifier: Apache-2.0
// Learning rates and weight decay by names of parameters (key lr_groups).
#pragma once

#include <string>
#include <vector>

#include "trireme/model/name_pattern.hpp"
#include "trireme/optim/config.hpp"

namespace trireme {

/// The patterns of OptimizerConfig::lr_groups.
class LrGroups {
 public:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  /// Throws Error on a pattern that is no regular expression.
  explicit LrGroups(const std::vector<LrGroup>& groups);
  /// Number of the first group that the name belongs to; kNone if there is none.
  [[nodiscard]] std::size_t find(const std::string& parameter) const;

 private:
  std::vector<NamePattern> patterns_;
};

}  // namespace trireme
