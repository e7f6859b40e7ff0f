// SPDX-License-Identifier: Apache-2.0
// What a line of the log says of batches, sequences and layers that change, and of the gradient
// noise scale.
#pragma once

#include <string>

#include "trireme/record/metrics.hpp"

namespace trireme {

/// Parts of a line for people, each behind " | "; empty for a step like all others.
[[nodiscard]] std::string growth_words(const StepRecord& step);
/// These parts as fields of a JSON object, each behind a comma.
[[nodiscard]] std::string growth_fields(const StepRecord& step);

}  // namespace trireme
