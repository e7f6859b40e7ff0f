// SPDX-License-Identifier: Apache-2.0
// The header of Megatron's index, and its codes for types.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "trireme/core/error.hpp"

namespace trireme {

inline constexpr std::int64_t kMegatronHead = 34;  // bytes
inline constexpr std::string_view kMegatronMagic{"MMIDIDX\0\0", 9};

/// Calls f(T{}) with the integer type of a code.
template <class F>
void with_megatron_type(std::uint8_t code, F&& f) {
  switch (code) {
    case 1:
      return f(std::uint8_t{});
    case 2:
      return f(std::int8_t{});
    case 3:
      return f(std::int16_t{});
    case 4:
      return f(std::int32_t{});
    case 5:
      return f(std::int64_t{});
    case 8:
      return f(std::uint16_t{});
    default:
      TRM_CHECK(false, "type code {}", code);
  }
}

/// Bytes of a token. Throws Error if the code stands for no integer.
inline std::int64_t megatron_width(const std::string& where, std::uint8_t code) {
  TRM_REQUIRE(code != 6 && code != 7,
              "{}: type code {} stands for floating point, but tokens are integers", where,
              code);
  TRM_REQUIRE((code >= 1 && code <= 5) || code == 8,
              "{}: there is no type with code {} (1 to 8 are known)", where, code);
  std::int64_t width = 0;
  with_megatron_type(code, [&](auto zero) { width = sizeof zero; });
  return width;
}

}  // namespace trireme
