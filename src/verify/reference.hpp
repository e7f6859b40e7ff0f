// SPDX-License-Identifier: Apache-2.0
// What one rank alone computes, kept in host memory.
#pragma once

#include <array>
#include <vector>

#include "verified_run.hpp"

namespace trireme {

/// A step of the reference.
struct ReferenceStep {
  Trainer::StepResult result;
  std::array<std::vector<HostArray>, kVerifyKinds>
      arrays;  ///< each kind in the order of ModelNames
};

struct Reference {
  ModelNames names;
  std::vector<ReferenceStep> steps;
};

/// Trains the reference of `setup` on this rank. Not collective.
[[nodiscard]] Reference train_reference(const VerifySetup& setup, const Deck& deck);

}  // namespace trireme
