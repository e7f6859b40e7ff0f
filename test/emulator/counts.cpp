// SPDX-License-Identifier: Apache-2.0
// Counts calls and prints their numbers.
#include "counts.hpp"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace trireme::emulator {
namespace {

std::array<std::atomic<std::int64_t>, kCosts> sums;

}  // namespace

void count(Cost cost) { ++sums[static_cast<std::size_t>(cost)]; }

void start_counts() {
  for (auto& sum : sums) sum = 0;
}

void print_counts() {
  if (std::getenv("TRIREME_EMULATED_COUNTS") == nullptr) return;
  const auto of = [](Cost cost) {
    return static_cast<long long>(sums[static_cast<std::size_t>(cost)].load());
  };
  std::array<char, 256> line{};
  std::snprintf(
      line.data(), line.size(),
      "emulated CUDA: %lld device allocations, %lld pinned allocations, %lld releases, "
      "%lld drains, %lld event waits, %lld pageable copies, %lld works, "
      "%lld connections\n",
      of(Cost::device_allocation), of(Cost::pinned_allocation), of(Cost::release),
      of(Cost::drain), of(Cost::event_wait), of(Cost::pageable_copy), of(Cost::work),
      of(Cost::connection));
  std::fputs(line.data(), stderr);
}

}  // namespace trireme::emulator
