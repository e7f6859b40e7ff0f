// SPDX-License-Identifier: Apache-2.0
// UnicodeScripts: splits where the script changes. Characters in no script, such as spaces,
// stay with the text before them, and go if no text precedes.
#include "unicode_scripts.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "../part_fields.hpp"
#include "../utf8.hpp"
#include "makers.hpp"

namespace trireme {

namespace {

constexpr std::uint8_t kNoScript = 0;

struct Range {
  char32_t first, last;
  std::uint8_t script;
};

std::vector<Range> make_ranges() {
  std::vector<Range> ranges;
  char32_t at = 0;
  for (const ScriptRange& range : kScriptRanges) {
    at += range.gap;
    ranges.push_back({at, at + range.size - 1, range.script});
    at += range.size;
  }
  return ranges;
}

std::uint8_t script_of(char32_t c) {
  static const std::vector<Range> ranges = make_ranges();
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), c,
                       [](char32_t value, const Range& range) { return value < range.first; });
  if (after == ranges.begin()) return kNoScript;
  const Range& range = *(after - 1);
  return c <= range.last ? range.script : kNoScript;
}

class UnicodeScripts final : public PreTokenizer {
 public:
  void split(Pieces& pieces) const override {
    Pieces made;
    made.section = pieces.section;
    std::size_t at = 0;
    for (const std::size_t end : pieces.ends) {
      std::uint8_t last = kNoScript;
      while (at < end) {
        const CodePoint c = code_point_at(pieces.text, at);
        const std::uint8_t script = script_of(c.value);
        if (script == kNoScript && last == kNoScript) {
          if (at == 0) made.section.first = false;
        } else {
          const bool starts = script != kNoScript && script != last;
          if (starts && last != kNoScript) made.ends.push_back(made.text.size());
          made.text.append(pieces.text, at, c.bytes);
          if (script != kNoScript) last = script;
        }
        at += c.bytes;
      }
      if (last != kNoScript) made.ends.push_back(made.text.size());
    }
    pieces = std::move(made);
  }

  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    const std::uint8_t left = script_of(before);
    const std::uint8_t right = script_of(after);
    return left != kNoScript && right != kNoScript && left != right;
  }
};

}  // namespace

std::unique_ptr<PreTokenizer> make_unicode_scripts(const nlohmann::json& spec,
                                                   const std::string& where) {
  const Fields none(spec, where, {});
  return std::make_unique<UnicodeScripts>();
}

}  // namespace trireme
