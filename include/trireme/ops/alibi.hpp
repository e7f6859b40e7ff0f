// SPDX-License-Identifier: Apache-2.0
// The slopes of ALiBi (Press et al., arXiv 2108.12409).
#pragma once

#include <cmath>

#include "trireme/core/host_device.hpp"

namespace trireme {

/// The slope of head `head` of `heads`: 2^(−8 (head + 1) / n) with n = heads, if that is a
/// power of 2. Else n is the power below, and the heads beyond take every other slope of 2n
/// heads.
TRM_HOST_DEVICE inline double alibi_slope(int head, int heads) {
  int n = 1;
  while (2 * n <= heads) n *= 2;
  const bool beyond = head >= n;
  const int at = beyond ? 2 * (head - n) + 1 : head + 1;
  return std::exp2(-8.0 * at / (beyond ? 2 * n : n));
}

}  // namespace trireme
