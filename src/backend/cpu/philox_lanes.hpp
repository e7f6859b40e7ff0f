// SPDX-License-Identifier: Apache-2.0
// Computes philox() of core/random.hpp for 64 counters at once, for dropout masks. A single
// call is a chain of multiplications, which leaves vector registers idle.
#pragma once

#include <array>

#include "trireme/core/random.hpp"

namespace trireme::cpu {

class PhiloxLanes {
 public:
  static constexpr std::int64_t kLanes = 64;
  using Words = std::array<std::uint32_t, 4 * kLanes>;

  void set(std::int64_t lane, std::uint64_t low, std::uint32_t high) {
    const auto l = static_cast<std::size_t>(lane);
    low_[l] = static_cast<std::uint32_t>(low);
    middle_[l] = static_cast<std::uint32_t>(low >> 32U);
    high_[l] = high;
  }

  /// words[4·lane + i] ← philox(key, low, high)[i], with low and high from each lane's last
  /// set().
  void draw(const RngKey& key, Words& words) const {
    auto a = low_;
    auto b = middle_;
    auto c = high_;
    std::array<std::uint32_t, kLanes> d;
    d.fill(key.stream);
    auto k0 = static_cast<std::uint32_t>(key.seed);
    auto k1 = static_cast<std::uint32_t>(key.seed >> 32U);
    for (int round = 0; round < 10; ++round) {
#pragma omp simd
      for (std::size_t l = 0; l < kLanes; ++l) {
        const std::uint64_t p = std::uint64_t{PHILOX_M4x32_0} * a[l];
        const std::uint64_t q = std::uint64_t{PHILOX_M4x32_1} * c[l];
        a[l] = static_cast<std::uint32_t>(q >> 32U) ^ b[l] ^ k0;
        b[l] = static_cast<std::uint32_t>(q);
        c[l] = static_cast<std::uint32_t>(p >> 32U) ^ d[l] ^ k1;
        d[l] = static_cast<std::uint32_t>(p);
      }
      k0 += PHILOX_W32_0;
      k1 += PHILOX_W32_1;
    }
    for (std::size_t l = 0; l < kLanes; ++l) {
      words[4 * l] = a[l];
      words[4 * l + 1] = b[l];
      words[4 * l + 2] = c[l];
      words[4 * l + 3] = d[l];
    }
  }

 private:
  std::array<std::uint32_t, kLanes> low_{};
  std::array<std::uint32_t, kLanes> middle_{};
  std::array<std::uint32_t, kLanes> high_{};
};

}  // namespace trireme::cpu
