// SPDX-License-Identifier: Apache-2.0
// Memory between pages that nobody may touch.
#pragma once

#include <cstddef>

namespace trireme::emulator {

inline constexpr std::size_t kPage = 4096;

/// `bytes`, a multiple of a page, with a guard page before and behind. Never given back.
[[nodiscard]] void* map_between_guards(std::size_t bytes);

/// An array that ends right before a guard page, to the next multiple of 16 bytes, every byte
/// 0xFF: a NaN in any type, an index outside of any array. nullptr where there is no memory.
[[nodiscard]] void* map_poisoned(std::size_t bytes);
/// From now on a fault to touch.
void unmap_poisoned(void* array, std::size_t bytes);

}  // namespace trireme::emulator
