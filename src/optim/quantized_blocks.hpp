// SPDX-License-Identifier: Apache-2.0
// Values as bytes, with a scale for each block: what ZeRO++ calls qwZ (Wang et al., arXiv
// 2306.10209). All arithmetic is on the host.
#pragma once

#include <cstddef>
#include <cstdint>

#include "trireme/core/dtype.hpp"

namespace trireme {

constexpr std::int64_t kQuantizedBlock = 256;

/// Bytes that `count` values take: an fp32 scale for each block, and then a byte for each
/// value.
[[nodiscard]] std::int64_t quantized_bytes(std::int64_t count);

/// A block's scale is max|x| / 127, and a byte is x / scale, rounded to nearest even. A block
/// with inf or NaN becomes NaN. Values are fp32, bf16 or fp16. Throws Error for other types.
void quantize(DType type, const void* from, std::int64_t count, std::byte* to);

/// to[i] = scale · byte, rounded to `type`.
void dequantize(const std::byte* from, std::int64_t count, DType type, void* to);

}  // namespace trireme
