// SPDX-License-Identifier: Apache-2.0
// Whole multiples.
#pragma once

namespace trireme {

/// The least multiple of `unit` that is at least `n`; of integers, n ≥ 0 and unit > 0.
template <class Integer>
[[nodiscard]] constexpr Integer round_up(Integer n, Integer unit) {
  return (n + unit - 1) / unit * unit;
}

}  // namespace trireme
