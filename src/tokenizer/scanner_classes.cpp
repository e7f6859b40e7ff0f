// SPDX-License-Identifier: Apache-2.0
// The classes by which the published patterns tell code points apart.
#include "scanner_classes.hpp"

namespace trireme {

namespace {

Class class_of(char32_t c) {
  if (c == '\r' || c == '\n') return Class::newline;
  if (is_white_space(c)) return Class::space;
  const Category k = category(c);
  if (k == Category::Lu || k == Category::Lt) return Class::upper;
  if (k == Category::Ll) return Class::lower;
  if (is_letter(k)) return Class::letter;
  if (is_mark(k)) return Class::mark;
  return is_number(k) ? Class::number : Class::other;
}

std::vector<std::uint8_t> all_classes() {
  std::vector<std::uint8_t> classes(kCodePoints);
  for (char32_t c = 0; c < kCodePoints; ++c) {
    classes[c] = static_cast<std::uint8_t>(class_of(c));
  }
  return classes;
}

}  // namespace

ClassTable::ClassTable() : table_(all_classes()) {
  for (char32_t c = 0; c < ascii_.size(); ++c) ascii_[c] = class_of(c);
}

const ClassTable& ClassTable::get() {
  static const ClassTable table;
  return table;
}

ClassTable::Item ClassTable::wide(const char* at, const char* end) const {
  const std::string_view text(at, static_cast<std::size_t>(end - at));
  const std::size_t bytes = valid_utf8_at(text, 0);
  if (bytes == 0) return {Class::other, 1};
  return {static_cast<Class>(table_[code_point_at(text, 0).value]),
          static_cast<std::uint32_t>(bytes)};
}

}  // namespace trireme
