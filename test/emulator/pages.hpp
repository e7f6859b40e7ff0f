// SPDX-License-Identifier: Apache-2.0
// Allocates memory between guard pages, which fault when touched.
#pragma once

#include <cstddef>

namespace trireme::emulator {

inline constexpr std::size_t kPage = 4096;

/// Maps `bytes`, a multiple of a page, with a guard page before and behind. Never unmapped.
[[nodiscard]] void* map_between_guards(std::size_t bytes);

/// Maps an array that ends, rounded up to 16 bytes, at a guard page. Every byte is 0xFF: a NaN
/// in any type, an index outside of any array. Returns nullptr if there is no memory.
[[nodiscard]] void* map_poisoned(std::size_t bytes);
/// Unmaps the array: later accesses fault.
void unmap_poisoned(void* array, std::size_t bytes);

}  // namespace trireme::emulator
