// SPDX-License-Identifier: Apache-2.0
// Finds the group of learning rates that a parameter belongs to.
#include "trireme/optim/lr_groups.hpp"

#include "trireme/model/trained.hpp"

namespace trireme {

LrGroups::LrGroups(const std::vector<LrGroup>& groups) {
  std::vector<std::string> patterns;
  patterns.reserve(groups.size());
  for (const LrGroup& g : groups) patterns.push_back(g.match);
  patterns_ = name_patterns("lr_groups", patterns);
}

std::size_t LrGroups::find(const std::string& parameter) const {
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    if (patterns_[i].found_in(parameter)) return i;
  }
  return kNone;
}

}  // namespace trireme
