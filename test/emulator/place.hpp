// SPDX-License-Identifier: Apache-2.0
// Which kernel runs, for messages; and what becomes of its memory faults.
#pragma once

#include <signal.h>

#include "site.hpp"

namespace trireme::emulator {

/// While it lives, a kernel launched at `where` runs: faults are reported as its own.
class Place {
 public:
  explicit Place(Site where);
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  struct sigaction before_segv_ {};
  struct sigaction before_bus_ {};
  struct sigaction before_ill_ {};
};

}  // namespace trireme::emulator
