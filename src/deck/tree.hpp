// SPDX-License-Identifier: Apache-2.0
// A deck's text as a tree of values that know where they stand. The only place that sees
// yaml-cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "trireme/core/error.hpp"

namespace trireme::deck {

/// Where a value was written: "FILE:LINE:COLUMN", or "--set key=value".
struct Place {
  std::string source;
  int line = 0;  ///< from 1; 0 = the source has no lines
  int column = 0;
  [[nodiscard]] std::string str() const;
};

struct Entry;

struct Value {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  bool quoted = false;
  std::string text;            ///< scalar
  std::vector<Value> items;    ///< list
  std::vector<Entry> entries;  ///< map, in the order written
  Place place;

  [[nodiscard]] const Value* find(std::string_view key) const;
  /// For messages, cut where long: abc, [1, 2], {a: 1}.
  [[nodiscard]] std::string plain() const;
  /// The same with a scalar in quotes.
  [[nodiscard]] std::string str() const;
};

struct Entry {
  std::string key;  ///< with _ for -
  Place place;
  Value value;
};

/// "PLACE: message".
template <class... Args>
[[noreturn]] void fail(const Place& place, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(
      fmt::format("{}: {}", place.str(), fmt::format(format, std::forward<Args>(args)...)));
}

/// Control characters become spaces.
[[nodiscard]] std::string one_line(std::string text);

/// `-` and `_` are the same in a key.
[[nodiscard]] std::string with_underscores(std::string_view key);

/// A whole deck: one dictionary (an empty text is an empty one). Throws Error on YAML errors,
/// on doubled keys and on texts that no person wrote (nested 16 deep, 100,000 values).
[[nodiscard]] Value parse_tree(const std::string& text, const std::string& name);

/// `a.b.c=value` as the dictionary {a: {b: {c: value}}}.
[[nodiscard]] Value parse_override(const std::string& text);

}  // namespace trireme::deck
