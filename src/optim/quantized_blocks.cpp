// SPDX-License-Identifier: Apache-2.0
// Blocks of bytes and their scales.
#include "quantized_blocks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "trireme/core/convert.hpp"

namespace trireme {

namespace {

constexpr float kMostCode = 127;
constexpr auto kScaleBytes = static_cast<std::int64_t>(sizeof(float));

using BlockValues = std::array<float, kQuantizedBlock>;

std::int64_t blocks_of(std::int64_t count) {
  return (count + kQuantizedBlock - 1) / kQuantizedBlock;
}

/// Calls f(block, first, n) for each block of `count` values.
template <class F>
void each_block(std::int64_t count, F&& f) {
  for (std::int64_t b = 0; b < blocks_of(count); ++b) {
    const std::int64_t first = b * kQuantizedBlock;
    f(b, first, std::min(kQuantizedBlock, count - first));
  }
}

float scale_of(const BlockValues& x, std::int64_t n) {
  float most = 0;
  bool finite = true;
  for (std::int64_t i = 0; i < n; ++i) {
    const float size = std::abs(x[static_cast<std::size_t>(i)]);
    finite = finite && size <= std::numeric_limits<float>::max();
    most = std::max(most, size);
  }
  return finite ? most / kMostCode : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace

std::int64_t quantized_bytes(std::int64_t count) {
  return blocks_of(count) * kScaleBytes + count;
}

void quantize(DType type, const void* from, std::int64_t count, std::byte* to) {
  const auto* const values = static_cast<const std::byte*>(from);
  const auto size = static_cast<std::int64_t>(size_of(type));
  std::byte* const codes = to + blocks_of(count) * kScaleBytes;
  BlockValues x{};
  each_block(count, [&](std::int64_t block, std::int64_t first, std::int64_t n) {
    widen(type, values + first * size, x.data(), n);
    const float scale = scale_of(x, n);
    std::memcpy(to + block * kScaleBytes, &scale, sizeof scale);
    const bool codable = scale > 0;  // neither 0 nor NaN
    for (std::int64_t i = 0; i < n; ++i) {
      const float ratio = codable ? x[static_cast<std::size_t>(i)] / scale : 0;
      const float code = std::clamp(std::nearbyint(ratio), -kMostCode, kMostCode);
      codes[first + i] = static_cast<std::byte>(static_cast<std::int8_t>(code));
    }
  });
}

void dequantize(const std::byte* from, std::int64_t count, DType type, void* to) {
  auto* const values = static_cast<std::byte*>(to);
  const auto size = static_cast<std::int64_t>(size_of(type));
  const std::byte* const codes = from + blocks_of(count) * kScaleBytes;
  BlockValues x{};
  each_block(count, [&](std::int64_t block, std::int64_t first, std::int64_t n) {
    float scale = 0;
    std::memcpy(&scale, from + block * kScaleBytes, sizeof scale);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto code = static_cast<std::int8_t>(codes[first + i]);
      x[static_cast<std::size_t>(i)] = scale * static_cast<float>(code);
    }
    narrow(x.data(), type, values + first * size, n);
  });
}

}  // namespace trireme
