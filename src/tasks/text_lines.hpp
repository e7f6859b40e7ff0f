// SPDX-License-Identifier: Apache-2.0
// Whole text files.
#pragma once

#include <string>

namespace trireme::tasks {

/// All of a file. Throws Error if it can't be read, or is no regular file.
[[nodiscard]] std::string text_of(const std::string& path);

}  // namespace trireme::tasks
