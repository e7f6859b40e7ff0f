// SPDX-License-Identifier: Apache-2.0
// CharsMap: SentencePiece's compiled table of which text becomes which.
#include "charsmap.hpp"

#include <cstddef>

#include "trireme/core/error.hpp"

#include "utf8.hpp"

namespace trireme {

namespace {

// The fields of a unit of the double array.
constexpr std::uint32_t kLeaf = 1U << 31;
std::uint32_t label(std::uint32_t unit) { return unit & (kLeaf | 0xffU); }
std::uint32_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }
bool has_value(std::uint32_t unit) { return (unit >> 8 & 1U) != 0; }
std::uint32_t value(std::uint32_t unit) { return unit & (kLeaf - 1); }

std::uint32_t little_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t number = 0;
  for (std::size_t i = 4; i-- > 0;) {
    number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return number;
}

}  // namespace

CharsMap::CharsMap(std::string_view blob, const std::string& where) {
  TRM_REQUIRE(blob.size() > 4, "{}: {} bytes are no table of characters", where, blob.size());
  const std::uint32_t size = little_endian(blob, 0);
  TRM_REQUIRE(size % 4 == 0 && size > 0 && size < blob.size() - 4,
              "{}: a double array of {} bytes is impossible in a table of {}", where, size,
              blob.size());
  for (std::size_t i = 0; i < size; i += 4) units_.push_back(little_endian(blob, 4 + i));
  texts_ = blob.substr(4 + std::size_t{size});
  TRM_REQUIRE(texts_.back() == '\0', "{}: the last text of the table has no end", where);
  for (std::size_t at = 0; at < texts_.size(); ++at) {
    if (texts_[at] == '\0') continue;
    const std::size_t bytes = valid_utf8_at(texts_, at);
    TRM_REQUIRE(bytes > 0, "{}: the text at byte {} of the table is no UTF-8", where, at);
    at += bytes - 1;
  }
  // What a hostile table could lead to: values that are no offset of a text.
  for (std::size_t i = 0; i < units_.size(); ++i) {
    if (!has_value(units_[i])) continue;
    const std::size_t leaf = i ^ offset(units_[i]);
    if (leaf >= units_.size()) continue;  // no text leads there
    const std::uint32_t at = value(units_[leaf]);
    TRM_REQUIRE(at < texts_.size() && (static_cast<unsigned char>(texts_[at]) & 0xc0) != 0x80,
                "{}: the table names a text at byte {} of {}", where, at, texts_.size());
  }
}

bool CharsMap::reaches(std::string_view prefix) const {
  if (units_.empty()) return false;
  std::size_t at = offset(units_[0]);
  for (const char c : prefix) {
    const auto byte = static_cast<unsigned char>(c);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || label(units_[at]) != byte) return false;
    at ^= offset(units_[at]);
  }
  return true;
}

// A unit that a label leads to stands at the place of its parent's offset, XOR the label. The
// search takes each unit with that label as one, whatever leads there, but the root's child.
bool CharsMap::any_holds_behind_first(char byte) const {
  if (units_.empty()) return false;
  const std::uint32_t wanted = static_cast<unsigned char>(byte);
  const std::size_t child_of_root = offset(units_[0]) ^ wanted;
  for (std::size_t at = 1; at < units_.size(); ++at) {
    if (label(units_[at]) == wanted && at != child_of_root) return true;
  }
  return false;
}

template <class Take>
void CharsMap::match(std::string_view text, Take take) const {
  if (units_.empty()) return;
  std::size_t at = offset(units_[0]);
  for (std::size_t i = 0; i < text.size() && text[i] != '\0'; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (at >= units_.size()) return;
    const std::uint32_t unit = units_[at];
    if (label(unit) != byte) return;
    at ^= offset(unit);
    if (!has_value(unit)) continue;
    if (at >= units_.size()) return;
    const std::uint32_t first = value(units_[at]);
    if (!take(Rule{i + 1, std::string_view(texts_.c_str() + first)})) return;
  }
}

std::optional<CharsMap::Rule> CharsMap::shortest(std::string_view text) const {
  std::optional<Rule> found;
  match(text, [&](const Rule& rule) {
    found = rule;
    return false;
  });
  return found;
}

std::optional<CharsMap::Rule> CharsMap::longest(std::string_view text) const {
  std::optional<Rule> found;
  match(text, [&](const Rule& rule) {
    found = rule;
    return true;
  });
  return found;
}

}  // namespace trireme
