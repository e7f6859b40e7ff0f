// SPDX-License-Identifier: Apache-2.0
// The groups of metrics.h5 for tasks and samples, which not every run has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trireme/h5/file.hpp"

namespace trireme {

/// Names of the groups of rows below "tasks".
[[nodiscard]] std::vector<std::string> task_groups(const h5::File& file);

/// Removes the samples of later iterations.
void drop_samples_after(h5::File& file, std::int64_t iteration);

}  // namespace trireme
