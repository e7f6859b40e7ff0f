// SPDX-License-Identifier: Apache-2.0
// The documents that a split gives to a part of one file.
#pragma once

#include <string>

#include "trireme/data/packing.hpp"
#include "trireme/data/sampler.hpp"

namespace trireme {

/// All documents if `split` is empty.
[[nodiscard]] DocumentRange documents_of(const TokenSource& source, const std::string& split,
                                         Part part);

}  // namespace trireme
