// SPDX-License-Identifier: Apache-2.0
// Counts of the calls that cost a program time, so that tests can tell that its steps make
// none.
#pragma once

#include <cstdint>

namespace trireme::emulator {

enum class Cost : std::uint8_t {
  device_allocation,
  pinned_allocation,
  release,
  drain,          // the host waits for all that a stream or the device was given, or a copy
  event_wait,     // the host waits for an event
  pageable_copy,  // goes through the driver's own staging memory
  work,           // what a stream is given by a call: a kernel, a copy, an event, a graph
};
inline constexpr int kCosts = 7;

void count(Cost cost);
/// From now on, from nothing.
void start_counts();
/// Since then: a line on stderr, where TRIREME_EMULATED_COUNTS is set.
void print_counts();

}  // namespace trireme::emulator
