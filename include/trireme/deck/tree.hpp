// SPDX-License-Identifier: Apache-2.0
// A deck's text as a tree of values that know their source and line. Only this file and
// tree.cpp use yaml-cpp.
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
  int line = 0;  ///< counted from 1; 0 = the source has no lines
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
  std::vector<Entry> entries;  ///< map, in the order of the text
  Place place;

  [[nodiscard]] const Value* find(std::string_view key) const;
  /// The value for messages, shortened where long: abc, [1, 2], {a: 1}.
  [[nodiscard]] std::string plain() const;
  /// Like plain(), but with a scalar in quotes.
  [[nodiscard]] std::string str() const;
};

struct Entry {
  std::string key;  ///< with _ for each -
  Place place;
  Value value;
};

/// "PLACE: message".
template <class... Args>
[[noreturn]] void fail(const Place& place, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(
      fmt::format("{}: {}", place.str(), fmt::format(format, std::forward<Args>(args)...)));
}

/// Replaces each `-` of a key by `_`: both are equivalent.
[[nodiscard]] std::string with_underscores(std::string_view key);

/// Parses a whole deck, which is one dictionary; an empty text gives an empty dictionary.
/// Throws Error on YAML errors and doubled keys. Throws Error also on texts that no person
/// wrote: nested more than 100 deep, with more than 10,000 keys or 100,000 values.
[[nodiscard]] Value parse_tree(const std::string& text, const std::string& name);

/// Parses `a.b.c=value` as the dictionary {a: {b: {c: value}}}. The limits of parse_tree()
/// hold.
[[nodiscard]] Value parse_override(const std::string& text);

}  // namespace trireme::deck
