// SPDX-License-Identifier: Apache-2.0
// Element types. bf16 and fp16 are storage types: arithmetic is done in fp32 or wider.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trireme {

enum class DType : std::uint8_t { f32, f64, f16, bf16, i32, i64, u8, u16, u32, u64 };

/// bfloat16 storage: the upper half of a float, rounded to nearest even; NaN stays NaN.
struct Bf16 {
  std::uint16_t bits = 0;
  Bf16() = default;
  explicit Bf16(float x) {
    const auto u = std::bit_cast<std::uint32_t>(x);
    const bool nan = (u & 0x7fffffffU) > 0x7f800000U;
    bits = static_cast<std::uint16_t>(nan ? (u >> 16U) | 0x40U
                                          : (u + 0x7fffU + ((u >> 16U) & 1U)) >> 16U);
  }
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16U); }
};

/// IEEE binary16 storage.
struct Half {
  std::uint16_t bits = 0;
};

[[nodiscard]] std::size_t size_of(DType t);
[[nodiscard]] std::string_view name_of(DType t);

[[nodiscard]] constexpr bool floating(DType t) { return t <= DType::bf16; }

/// The type in which sums over elements of `t` are kept: fp64 for fp64, else fp32.
[[nodiscard]] constexpr DType accumulator_type(DType t) {
  return t == DType::f64 ? DType::f64 : DType::f32;
}

template <class T>
struct DTypeOf;
// clang-format off
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<Half> { static constexpr DType value = DType::f16; };
template <> struct DTypeOf<Bf16> { static constexpr DType value = DType::bf16; };
template <> struct DTypeOf<std::int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<std::int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<std::uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<std::uint16_t> { static constexpr DType value = DType::u16; };
template <> struct DTypeOf<std::uint32_t> { static constexpr DType value = DType::u32; };
template <> struct DTypeOf<std::uint64_t> { static constexpr DType value = DType::u64; };
// clang-format on
template <class T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;

}  // namespace trireme
