// SPDX-License-Identifier: Apache-2.0
// What a line of the log says of batches, sequences and layers that change, of the gradient
// noise scale, and of evaluations.
#pragma once

#include <string>

#include "trireme/record/metrics.hpp"

namespace trireme {

/// JSON has no NaN and no infinity: these are null.
[[nodiscard]] std::string json_number(double x);

/// Parts of a line for people, each behind " | "; empty for a step like all others.
[[nodiscard]] std::string growth_words(const StepRecord& step);
/// These parts as fields of a JSON object, each behind a comma.
[[nodiscard]] std::string growth_fields(const StepRecord& step);

/// An evaluation besides its loss: accuracy, or perplexity and bits a byte.
[[nodiscard]] std::string evaluation_words(const EvaluationRecord& evaluation);
/// These as fields of a JSON object, each behind a comma.
[[nodiscard]] std::string evaluation_fields(const EvaluationRecord& evaluation);

}  // namespace trireme
