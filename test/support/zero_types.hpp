// SPDX-License-Identifier: Apache-2.0
// The formulas of ZeRO's stages and half precision: with w bytes of a value, g of a gradient,
// s of optimizer state (masters and moments), Ψ parameters and N ranks, (w+g+s)Ψ,
// (w+g)Ψ + sΨ/N, wΨ + (g+s)Ψ/N and (w+g+s)Ψ/N at stages 0 to 3.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace trireme::test {

struct ZeroTypes {
  std::string_view name;
  double value, gradient, state;  ///< bytes of w, g, s
  const char* keys;
};

inline constexpr std::array<ZeroTypes, 5> kZeroTypes = {{
    {"bf16", 2, 4, 12, "precision: bf16\n"},
    {"bf16, bf16 gradients", 2, 2, 12,
     "precision: bf16\ndata_types: {grad_accum_dtype: bf16}\n"},
    {"fp16", 2, 4, 12, "precision: fp16\n"},
    {"fp32", 4, 4, 8, ""},
    {"fp32, bf16 gradients", 4, 2, 8, "data_types: {grad_accum_dtype: bf16}\n"},
}};

inline const ZeroTypes& zero_types(std::string_view name) {
  return *std::ranges::find(kZeroTypes, name, &ZeroTypes::name);
}

/// Bytes a parameter takes on each of `ranks` ranks.
inline double zero_bytes(const ZeroTypes& t, int stage, int ranks) {
  const auto divisor = [&](int from) { return stage >= from ? ranks : 1; };
  return t.value / divisor(3) + t.gradient / divisor(2) + t.state / divisor(1);
}

}  // namespace trireme::test
