// SPDX-License-Identifier: Apache-2.0
// The tokens that a split gives to a part of one file.
#pragma once

#include <string>

#include "trireme/data/sampler.hpp"
#include "trireme/data/token_file.hpp"

namespace trireme {

/// All tokens if `split` is empty.
[[nodiscard]] TokenRange range_of(const TokenFile& file, const std::string& split, Part part);

}  // namespace trireme
