// SPDX-License-Identifier: Apache-2.0
// What must hold before any byte of a file is read.
#pragma once

#include <string>

#include "trireme/h5/file.hpp"

namespace trireme::h5 {

/// Throws Error unless `path` is a regular file that `mode` may open. The system's message is
/// short; HDF5's is long and full of flags.
void require_openable(const std::string& path, Mode mode);

}  // namespace trireme::h5
