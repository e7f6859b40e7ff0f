// SPDX-License-Identifier: Apache-2.0
// Blocks of numbers as codes of 8 bits and a scale. Codes stand for the shares of Dettmers'
// dynamic map (arXiv 1511.04561) as bitsandbytes makes it, and the nearest one is taken.
//
// A map has 256 shares of the scale, in order. From 10⁻⁷ to 1 each decade has twice as many as
// the decade below it. The signed map has shares down to −0.993 and up to 1.
#pragma once

#include <array>
#include <cstdint>

namespace trireme::eight_bit {

/// Elements that share a scale.
inline constexpr std::int64_t kBlock = 256;
/// A block whose largest magnitude is below this counts as zero, so that no share of a scale
/// underflows.
inline constexpr float kLeastScale = 1e-31F;

class Map {
 public:
  explicit Map(bool has_sign);
  [[nodiscard]] const std::array<float, 256>& shares() const { return shares_; }

  /// Rounds a block of n ≤ kBlock elements, and returns its scale: the largest magnitude.
  float encode(const float* x, std::int64_t n, std::uint8_t* codes) const;
  void decode(const std::uint8_t* codes, float scale, std::int64_t n, float* x) const;
  /// decode() in a form that encode() gives back the codes and the scale for, to the bit. Where
  /// no code stands for the scale itself, those that round minus the scale become minus the
  /// scale.
  void decode_exactly(const std::uint8_t* codes, float scale, std::int64_t n, float* x) const;

 private:
  static constexpr std::size_t kBuckets = (23U << 8U) + 1;  // 256 for each power of 2

  bool has_sign_;
  std::array<float, 256> shares_{};
  std::array<std::int32_t, kBuckets> rank_{};  ///< the least magnitude's in a bucket
  std::array<float, 256> bound_{};             ///< above it, a magnitude has the next rank
};

/// The map of AdamW's first moment, and that of its second.
[[nodiscard]] const Map& signed_map();
[[nodiscard]] const Map& unsigned_map();

}  // namespace trireme::eight_bit
