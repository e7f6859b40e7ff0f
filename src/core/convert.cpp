// SPDX-License-Identifier: Apache-2.0
// One element at a time.
#include "trireme/core/convert.hpp"

#include <algorithm>
#include <bit>

#include "trireme/core/error.hpp"

namespace trireme {

void widen(DType type, const void* from, float* to, std::int64_t n) {
  if (type == DType::f32) {
    std::copy_n(static_cast<const float*>(from), n, to);
  } else if (type == DType::bf16) {
    const auto* x = static_cast<const Bf16*>(from);
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(x[i]);
  } else if (type == DType::f16) {
    const auto* x = static_cast<const Half*>(from);
    for (std::int64_t i = 0; i < n; ++i) {
      to[i] = static_cast<float>(std::bit_cast<_Float16>(x[i].bits));
    }
  } else {
    throw Error(fmt::format("{} as fp32", name_of(type)));
  }
}

void narrow(const float* from, DType type, void* to, std::int64_t n) {
  if (type == DType::f32) {
    std::copy_n(from, n, static_cast<float*>(to));
  } else if (type == DType::bf16) {
    auto* y = static_cast<Bf16*>(to);
    for (std::int64_t i = 0; i < n; ++i) y[i] = Bf16(from[i]);
  } else if (type == DType::f16) {
    auto* y = static_cast<Half*>(to);
    for (std::int64_t i = 0; i < n; ++i) {
      y[i].bits = std::bit_cast<std::uint16_t>(static_cast<_Float16>(from[i]));
    }
  } else {
    throw Error(fmt::format("fp32 as {}", name_of(type)));
  }
}

}  // namespace trireme
