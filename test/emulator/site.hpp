// SPDX-License-Identifier: Apache-2.0
// A source location, and a way to end the program for silent errors of a GPU.
#pragma once

#include <cstdint>

namespace trireme::emulator {

struct Site {
  const char* file = __builtin_FILE();
  int line = __builtin_LINE();
};

[[nodiscard]] bool same(const Site& a, const Site& b);

/// Prints "emulated CUDA: ", the running kernel with thread block and thread, and the message.
/// Ends the process with exit code 70.
[[noreturn]] void fatal(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Random bits for orders of execution, seeded by TRIREME_EMULATED_SEED.
[[nodiscard]] std::uint64_t random_bits();
/// A uniform number in [0, n).
[[nodiscard]] std::uint32_t random_below(std::uint32_t n);

}  // namespace trireme::emulator
