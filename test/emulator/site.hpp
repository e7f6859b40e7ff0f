// SPDX-License-Identifier: Apache-2.0
// A place in the source, and the end of the program for what a GPU would do wrong in silence.
#pragma once

#include <cstdint>

namespace trireme::emulator {

struct Site {
  const char* file = __builtin_FILE();
  int line = __builtin_LINE();
};

[[nodiscard]] bool same(const Site& a, const Site& b);

/// Prints "emulated CUDA: " with where the kernel, block and thread that run now are, then the
/// message, and ends the process with exit code 70.
[[noreturn]] void fatal(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Numbers for orders of execution, from TRIREME_EMULATED_SEED.
[[nodiscard]] std::uint64_t random_bits();
/// Uniform in [0, n).
[[nodiscard]] std::uint32_t random_below(std::uint32_t n);

}  // namespace trireme::emulator
