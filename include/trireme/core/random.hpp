// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11,
// doi:10.1145/2063384.2063405). A number is a pure function of seed, stream and counter, which
// makes every mesh and backend draw alike.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <Random123/philox.h>

namespace trireme {

/// Identifies a family of draws: the run's seed, and a stream for one use, such as one dropout
/// site.
struct RngKey {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
};

/// Four independent 32-bit words for a 96-bit counter (high, low64).
inline std::array<std::uint32_t, 4> philox(const RngKey& key, std::uint64_t low,
                                           std::uint32_t high = 0) {
  const r123::Philox4x32 generator;
  const auto w = generator(
      {{static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32U), high,
        key.stream}},
      {{static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32U)}});
  return {w[0], w[1], w[2], w[3]};
}

/// A word as a number in (0, 1), symmetric around one half and never 0 or 1.
inline double unit_interval(std::uint32_t word) {
  return (static_cast<double>(word) + 0.5) * 0x1p-32;
}

/// Hashes a name to a stream number (FNV-1a), which makes a registry of streams unnecessary.
constexpr std::uint32_t stream_of(std::string_view name) {
  std::uint32_t h = 2166136261U;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 16777619U;
  return h;
}

}  // namespace trireme
