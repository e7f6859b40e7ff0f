// SPDX-License-Identifier: Apache-2.0
// Counts the calls that cost a program time. Tests check that training steps make none of these
// calls.
#pragma once

#include <cstdint>

namespace trireme::emulator {

enum class Cost : std::uint8_t {
  device_allocation,
  pinned_allocation,
  release,
  drain,          // the host waits for a stream's or the device's work, or for a copy
  event_wait,     // the host waits for an event
  pageable_copy,  // goes through the driver's staging memory
  work,           // a call gives a stream a kernel, a copy, an event or a graph
  connection,     // NCCL makes one in a call, for which the host waits
};
inline constexpr int kCosts = 8;

void count(Cost cost);
/// Starts counting from zero.
void start_counts();
/// Prints a line on stderr with the counts since start_counts(), if TRIREME_EMULATED_COUNTS is
/// set.
void print_counts();

}  // namespace trireme::emulator
