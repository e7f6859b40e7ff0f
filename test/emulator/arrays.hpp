// SPDX-License-Identifier: Apache-2.0
// Which addresses are a GPU's, and which are pinned.
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

/// What `p` lies in.
[[nodiscard]] Range range_of(const void* p);
/// Whether [p, p + bytes) is within one array of `home`, or touches no array for pageable.
[[nodiscard]] bool lies_in(const void* p, std::size_t bytes, Home home);

}  // namespace trireme::emulator
