// SPDX-License-Identifier: Apache-2.0
// The seal of token files. Its length has room for some two thousand ranges of metadata: HDF5
// makes as many for a file of some terabytes.
#pragma once

#include "trireme/data/token_file.hpp"
#include "trireme/h5/checksum.hpp"

namespace trireme {

inline constexpr std::int64_t kOldestSealed = 2;  ///< version 1 has no seal

inline constexpr h5::Seal kTokenSeal{"token file", kTokenFormatVersion, 1 << 16,
                                     " (`trireme prepare` makes token files)", kOldestSealed};

}  // namespace trireme
