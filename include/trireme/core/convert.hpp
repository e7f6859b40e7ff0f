// SPDX-License-Identifier: Apache-2.0
// Arrays of any floating type as fp32, and back.
#pragma once

#include <cstdint>

#include "trireme/core/dtype.hpp"

namespace trireme {

/// to[i] = from[i], for n elements of type f32, bf16 or f16. Exact. Throws Error for another
/// type.
void widen(DType type, const void* from, float* to, std::int64_t n);

/// The other way: rounded to nearest even; what is too large for fp16 becomes inf, and NaN
/// stays NaN.
void narrow(const float* from, DType type, void* to, std::int64_t n);

}  // namespace trireme
