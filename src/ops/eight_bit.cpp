// SPDX-License-Identifier: Apache-2.0
// The dynamic map, and how a share is rounded without a search. The upper bits of a magnitude
// name a bucket, which has at most one bound between two codes.
#include "trireme/ops/eight_bit.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "trireme/core/error.hpp"

namespace trireme::eight_bit {

namespace {

constexpr std::int32_t kLeastBits = 104 << 23;  // those of 2⁻²³
constexpr std::int32_t kDropped = 15;           // bits of a bucket's width

/// The positive shares in order, and 1: of n linear steps in the uppermost decade.
std::vector<float> positive_shares(int steps) {
  constexpr std::array<float, 7> kDecades = {1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1.0F};
  std::vector<float> shares;
  for (std::size_t i = 0; i < kDecades.size(); ++i) {
    const int n = steps >> (kDecades.size() - 1 - i);
    const float step = (1.0F - 0.1F) / static_cast<float>(n);
    const auto bound = [&](int k) {  // fp32's linspace in PyTorch
      return k <= n / 2 ? std::fma(step, static_cast<float>(k), 0.1F)
                        : std::fma(-step, static_cast<float>(n - k), 1.0F);
    };
    for (int k = 0; k < n; ++k) shares.push_back(kDecades[i] * ((bound(k) + bound(k + 1)) / 2));
  }
  shares.push_back(1.0F);
  return shares;
}

std::size_t bucket_of(float magnitude) {
  const auto bits = std::bit_cast<std::int32_t>(magnitude);
  return static_cast<std::size_t>(std::max(bits - kLeastBits, 0) >> kDropped);
}

}  // namespace

Map::Map(bool has_sign) : has_sign_(has_sign) {
  const std::vector<float> positive = positive_shares(has_sign ? 64 : 128);
  const std::size_t zero = shares_.size() - 1 - positive.size();
  std::ranges::copy(positive, shares_.begin() + static_cast<std::ptrdiff_t>(zero) + 1);
  for (std::size_t i = 0; has_sign && i < zero; ++i) shares_[zero - 1 - i] = -positive[i];
  bound_.fill(std::numeric_limits<float>::infinity());
  for (std::size_t k = 0; k < positive.size(); ++k) {
    bound_[k] = (shares_[zero + k] + shares_[zero + k + 1]) / 2;
  }
  for (std::size_t i = 0; i < kBuckets; ++i) {
    const auto low =
        std::bit_cast<float>(kLeastBits + (static_cast<std::int32_t>(i) << kDropped));
    rank_[i] = static_cast<std::int32_t>(
        i == 0 ? 0 : std::ranges::count_if(bound_, [&](float b) { return b < low; }));
  }
}

float Map::encode(const float* x, std::int64_t n, std::uint8_t* codes) const {
  TRM_CHECK(n <= kBlock, "a block of {} elements", n);
  std::int32_t bits = 0;  // magnitudes compare as their bits do
  for (std::int64_t i = 0; i < n; ++i) {
    bits = std::max(bits, std::bit_cast<std::int32_t>(x[i]) & 0x7fffffff);
  }
  auto scale = std::bit_cast<float>(bits);
  if (!(scale >= kLeastScale)) scale = 0;
  const float inverse = scale > 0 ? 1 / scale : 0;
  // A negative share has the mirrored code, and the signed map ends before −1.
  const std::int32_t zero = has_sign_ ? 127 : 0;
  const std::int32_t lowest = has_sign_ ? 127 : 0;
  std::array<std::int32_t, kBlock> wide;
  for (std::int64_t i = 0; i < n; ++i) {
    const float share = x[i] * inverse;
    const float magnitude = std::min(std::abs(share), 1.0F);
    const std::int32_t low = rank_[bucket_of(magnitude)];
    const std::int32_t rank = low + (magnitude > bound_[static_cast<std::size_t>(low)] ? 1 : 0);
    wide[static_cast<std::size_t>(i)] = share < 0 ? zero - std::min(rank, lowest) : zero + rank;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    codes[i] = static_cast<std::uint8_t>(wide[static_cast<std::size_t>(i)]);
  }
  return scale;
}

void Map::decode(const std::uint8_t* codes, float scale, std::int64_t n, float* x) const {
  for (std::int64_t i = 0; i < n; ++i) x[i] = shares_[codes[i]] * scale;
}

void Map::decode_exactly(const std::uint8_t* codes, float scale, std::int64_t n,
                         float* x) const {
  decode(codes, scale, n, x);
  constexpr std::uint8_t kTop = 255;
  if (!has_sign_ || std::find(codes, codes + n, kTop) != codes + n) return;
  for (std::int64_t i = 0; i < n; ++i) {
    if (codes[i] == 0) x[i] = -scale;
  }
}

const Map& signed_map() {
  static const Map map(true);
  return map;
}

const Map& unsigned_map() {
  static const Map map(false);
  return map;
}

}  // namespace trireme::eight_bit
