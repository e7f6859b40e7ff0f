// SPDX-License-Identifier: Apache-2.0
// All bytes of a file, which gzip may have packed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

/// Throws Error that names a file which can't be read, or has more bytes than `most`.
[[nodiscard]] std::vector<std::uint8_t> unpacked_bytes(const std::string& path,
                                                       std::int64_t most);

}  // namespace trireme
