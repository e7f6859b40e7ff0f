// SPDX-License-Identifier: Apache-2.0
// Tells which addresses are a GPU's, and which are pinned.
#pragma once

#include <cstddef>
#include <cuda_runtime.h>

namespace trireme::emulator {

enum class Home { pageable, pinned, device };

struct Range {
  Home home = Home::pageable;
  int device = 0;
  const std::byte* begin = nullptr;
  std::size_t bytes = 0;
};

/// The array that contains `p`; a pageable range if there is none.
[[nodiscard]] Range range_of(const void* p);
/// Whether [p, p + bytes) is within one array of `home`. For pageable: touches no array.
[[nodiscard]] bool lies_in(const void* p, std::size_t bytes, Home home);

}  // namespace trireme::emulator
