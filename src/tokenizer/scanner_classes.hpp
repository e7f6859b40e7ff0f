// SPDX-License-Identifier: Apache-2.0
// The classes by which the published patterns tell code points apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "unicode.hpp"
#include "utf8.hpp"

namespace trireme {

enum class Class : std::uint8_t {
  upper,    ///< Lu, Lt
  lower,    ///< Ll
  letter,   ///< Lm, Lo: neither upper nor lower
  mark,     ///< M
  number,   ///< N
  newline,  ///< \r and \n
  space,    ///< other white space
  other,    ///< all else, and bytes that are no UTF-8
};

constexpr unsigned bit(Class c) { return 1U << static_cast<unsigned>(c); }
constexpr unsigned kLetters = bit(Class::upper) | bit(Class::lower) | bit(Class::letter);
constexpr unsigned kSpaces = bit(Class::newline) | bit(Class::space);

/// A set of classes, as bits.
constexpr bool in(Class c, unsigned set) { return (bit(c) & set) != 0; }

class ClassTable {
 public:
  /// The one table of the program.
  static const ClassTable& get();

  struct Item {
    Class kind;
    std::uint32_t bytes;
  };
  /// The class of what stands at `at`, which must be before `end`.
  [[nodiscard]] Item at(const char* at, const char* end) const {
    const auto byte = static_cast<unsigned char>(*at);
    if (byte < 0x80) return {ascii_[byte], 1};
    return wide(at, end);
  }
  [[nodiscard]] Class of(char32_t c) const {
    return c < 0x80 ? ascii_[c] : static_cast<Class>(table_[c]);
  }
  /// Where the run of classes in `set` that begins at `from` ends.
  [[nodiscard]] const char* run(const char* from, const char* end, unsigned set) const {
    while (from < end) {
      const auto byte = static_cast<unsigned char>(*from);
      if (byte < 0x80) {
        if (!in(ascii_[byte], set)) return from;
        ++from;
        continue;
      }
      const Item item = wide(from, end);
      if (!in(item.kind, set)) return from;
      from += item.bytes;
    }
    return from;
  }

 private:
  ClassTable();
  [[nodiscard]] Item wide(const char* at, const char* end) const;

  std::array<Class, 128> ascii_{};
  CodePointTable table_;
};

}  // namespace trireme
