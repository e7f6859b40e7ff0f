// SPDX-License-Identifier: Apache-2.0
// What must hold before the shape of a virtual dataset is asked for.
#pragma once

#include <string>

#include "library.hpp"

namespace trireme::h5 {

/// Throws Error unless each source is a part of one file in the folder of the dataset's own.
void require_sources_beside(hid_t creation, const std::string& where);

}  // namespace trireme::h5
