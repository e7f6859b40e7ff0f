// SPDX-License-Identifier: Apache-2.0
// Reads tokens of any integer type of a binary file.
#pragma once

#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/data/binary_file.hpp"

namespace trireme {

/// Reads elements of T from byte `at` on, as int32. `offset` is the first token's number, for
/// messages. Throws Error if a value is not an int32.
template <class T>
void read_wide(const BinaryFile& file, std::int64_t at, std::int64_t offset,
               std::span<std::int32_t> to) {
  thread_local std::vector<T> stored;
  if constexpr (std::is_same_v<T, std::int32_t>) {
    file.read(at, to.data(), std::ssize(to) * static_cast<std::int64_t>(sizeof(T)));
    return;
  }
  stored.resize(to.size());
  file.read(at, stored.data(), std::ssize(to) * static_cast<std::int64_t>(sizeof(T)));
  for (std::size_t i = 0; i < to.size(); ++i) {
    if constexpr (sizeof(T) >= sizeof(std::int32_t)) {
      TRM_REQUIRE(std::in_range<std::int32_t>(stored[i]),
                  "{}: token {} has id {}, but ids are below 2³¹", file.path(),
                  offset + static_cast<std::int64_t>(i), stored[i]);
    }
    // A negative id is an error, which the caller finds.
    to[i] = static_cast<std::int32_t>(stored[i]);  // NOLINT(bugprone-signed-char-misuse)
  }
}

}  // namespace trireme
