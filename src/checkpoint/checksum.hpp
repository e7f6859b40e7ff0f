// SPDX-License-Identifier: Apache-2.0
// The checksum of everything in a checkpoint: XXH3, 64 bits (xxHash by Y. Collet).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "trireme/h5/file.hpp"

namespace trireme::checkpoint {

[[nodiscard]] std::uint64_t checksum_of(const void* data, std::size_t bytes);
/// Checksum of a file's extents, in their order. Throws Error if the bytes can't be read.
[[nodiscard]] std::uint64_t checksum_of(const std::string& path,
                                        const std::vector<h5::Extent>& extents);
/// Throws Error if the file doesn't exist.
[[nodiscard]] std::int64_t size_of_file(const std::string& path);

}  // namespace trireme::checkpoint
