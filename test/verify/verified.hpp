// SPDX-License-Identifier: Apache-2.0
// verify_layout() in this process, with ranks as threads and faults to plant.
#pragma once

#include <functional>
#include <string>

#include "trireme/verify/verify.hpp"

#include "../train/training.hpp"

namespace trireme::test {

/// Changes of the layout's run.
struct Plant {
  /// Replaces units of one rank's model parts.
  std::function<void(VerifySetup::Parts& parts, const Mesh& mesh)> units = {};
  /// Replaces communicators of one rank.
  std::function<void(Mesh& mesh)> mesh = {};
};

/// Verifies a deck on `ranks` ranks. Throws Error if ranks disagree on the result.
[[nodiscard]] VerifyReport verified(const Json& deck, int ranks, const Plant& plant = {},
                                    int steps = 2);

/// The first row that differs: "gradient of layers.0.…, step 1"; empty: none.
[[nodiscard]] std::string first_text(const VerifyReport& report, VerifyKind kind);

}  // namespace trireme::test
