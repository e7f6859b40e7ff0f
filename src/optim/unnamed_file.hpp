// SPDX-License-Identifier: Apache-2.0
// Files without a name, which vanish with the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace trireme::optim {

// All throw Error with the folder, the reason, and what to do.

/// Opens a new file in `folder`, for reading and writing. The file has no name afterwards.
[[nodiscard]] int open_unnamed(const std::string& folder, int rank);
/// Gives the file `bytes` bytes, which read as zeros, and reserves space where the file system
/// can do so.
void reserve(int file, std::int64_t bytes, const std::string& folder);
/// Lets reads and writes bypass the page cache. False where the file system can't do so with
/// pages of `page` bytes. `memory` is a page that may be overwritten.
[[nodiscard]] bool use_direct_io(int file, std::byte* memory, std::size_t page);

}  // namespace trireme::optim
