// SPDX-License-Identifier: Apache-2.0
// Large figures for people: digits in groups, counts in words, sizes with units.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

/// "23,239,512,000".
[[nodiscard]] std::string grouped(std::int64_t n);
/// "174.6 billion", "3.29 million"; below a million as grouped(). For numbers of at least 0.
[[nodiscard]] std::string count_text(std::int64_t n);
/// Decimal units, as disks have: "1.42 TB", "140.6 MB", "512 bytes". For numbers of at least 0.
[[nodiscard]] std::string decimal_size(std::int64_t bytes);

}  // namespace trireme
