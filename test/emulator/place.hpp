// SPDX-License-Identifier: Apache-2.0
// Remembers which kernel runs, for messages, and reports its memory faults.
#pragma once

#include <signal.h>

#include "site.hpp"

namespace trireme::emulator {

/// While a Place exists, the kernel launched at `where` runs, and faults are reported as the
/// kernel's.
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
