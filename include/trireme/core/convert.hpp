// SPDX-License-Identifier: Apache-2.0
// Converts arrays of any floating type to fp32, and back.
#pragma once

#include <cstdint>

#include "trireme/core/dtype.hpp"

namespace trireme {

/// to[i] = from[i], exactly, for n elements of type f32, bf16 or f16. Throws Error for another
/// type.
void widen(DType type, const void* from, float* to, std::int64_t n);

/// to[i] = from[i], rounded to nearest even. Values too large for fp16 become inf; NaN stays
/// NaN. Throws Error for types other than f32, bf16 and f16.
void narrow(const float* from, DType type, void* to, std::int64_t n);

}  // namespace trireme
