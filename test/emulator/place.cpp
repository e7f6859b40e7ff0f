// SPDX-License-Identifier: Apache-2.0
// Prints messages that end the program, draws the seeded order, and handles faults.
#include "place.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "block.hpp"

namespace trireme::emulator {
namespace {

Site running{nullptr, 0};

std::uint64_t seed() {
  const char* text = std::getenv("TRIREME_EMULATED_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

void end_with(const char* message) {
  std::array<char, 2048> line{};
  int length = 0;
  if (running.file != nullptr) {
    length =
        std::snprintf(line.data(), line.size(),
                      "emulated CUDA: kernel launched at %s:%d, block (%u, %u, %u), thread "
                      "(%u, %u, %u): %s\n",
                      running.file, running.line, blockIdx.x, blockIdx.y, blockIdx.z,
                      threadIdx.x, threadIdx.y, threadIdx.z, message);
  } else {
    length = std::snprintf(line.data(), line.size(), "emulated CUDA: %s\n", message);
  }
  const auto most = static_cast<int>(line.size()) - 1;
  [[maybe_unused]] const auto written =
      write(STDERR_FILENO, line.data(), static_cast<std::size_t>(std::min(length, most)));
  _exit(70);
}

void on_fault(int number, siginfo_t* info, void* /*context*/) {
  // Device code is compiled with -fsanitize=alignment,bounds, which traps.
  if (number == SIGILL) end_with("a misaligned access, or an index outside of a local array");
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(),
                "address %p is outside of its array, freed, or past a stack", info->si_addr);
  end_with(text.data());
}

// A handler can't run on a stack that overflowed.
void give_handler_a_stack() {
  static thread_local bool given = false;
  if (given) return;
  constexpr std::size_t kSize = std::size_t{64} << 10U;
  stack_t stack{};
  stack.ss_sp = std::malloc(kSize);
  stack.ss_size = kSize;
  sigaltstack(&stack, nullptr);
  given = true;
}

}  // namespace

bool same(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

void fatal(const char* format, ...) {
  std::array<char, 1024> text{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  end_with(text.data());
  __builtin_unreachable();
}

std::uint64_t random_bits() {
  static std::uint64_t state = seed() * 0x9e3779b97f4a7c15U | 1U;
  state ^= state >> 12U;
  state ^= state << 25U;
  state ^= state >> 27U;
  return (state * 0x2545f4914f6cdd1dU) >> 16U;
}

std::uint32_t random_below(std::uint32_t n) {
  return static_cast<std::uint32_t>(((random_bits() & 0xffffffffU) * n) >> 32U);
}

Place::Place(Site where) {
  running = where;
  give_handler_a_stack();
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &before_segv_);
  sigaction(SIGBUS, &action, &before_bus_);
  sigaction(SIGILL, &action, &before_ill_);
}

Place::~Place() {
  sigaction(SIGSEGV, &before_segv_, nullptr);
  sigaction(SIGBUS, &before_bus_, nullptr);
  sigaction(SIGILL, &before_ill_, nullptr);
  running = {nullptr, 0};
}

}  // namespace trireme::emulator
