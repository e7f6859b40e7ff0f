// SPDX-License-Identifier: Apache-2.0
// Eight bytes of text at once: which of them are ASCII letters. A loop over single letters
// would guess wrong at the end of most words.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace trireme {

class AsciiLetters {
 public:
  static constexpr std::ptrdiff_t kBytes = 8;
  static constexpr bool kWorks = std::endian::native == std::endian::little;

  /// Reads kBytes bytes.
  explicit AsciiLetters(const char* at) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, at, kBytes);
    // In the highest bit of each byte: c ≥ 'a', c > 'z', and c < 128, in lower case.
    const std::uint64_t lower = (bytes & ~kHighest) | kEach * 0x20;
    letters_ =
        (lower + kEach * (0x80 - 'a')) & ~(lower + kEach * (0x7f - 'z')) & ~bytes & kHighest;
    upper_ = letters_ & ~(bytes << 2U);
  }
  /// How many bytes are letters before the first that is none.
  [[nodiscard]] std::size_t letters() const { return run(letters_); }
  /// How many letters in upper case come first.
  [[nodiscard]] std::size_t upper() const { return run(upper_); }
  /// How many letters in lower case follow the first `n` bytes.
  [[nodiscard]] std::size_t lower_from(std::size_t n) const {
    return n >= 8 ? 0 : run((letters_ & ~upper_) >> (8 * n));
  }

 private:
  static constexpr std::uint64_t kEach = 0x0101010101010101U;
  static constexpr std::uint64_t kHighest = kEach * 0x80;
  static std::size_t run(std::uint64_t set) {
    return static_cast<std::size_t>(std::countr_zero(~set & kHighest)) / 8;
  }

  std::uint64_t letters_;
  std::uint64_t upper_;
};

}  // namespace trireme
