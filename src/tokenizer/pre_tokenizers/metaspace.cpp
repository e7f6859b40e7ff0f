// SPDX-License-Identifier: Apache-2.0
// Metaspace: spaces become a visible character, and each begins a piece.
#include "../metaspace.hpp"

#include <utility>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "../part_fields.hpp"
#include "../utf8.hpp"
#include "makers.hpp"

namespace trireme {

using nlohmann::json;

MetaspaceFields::MetaspaceFields(const json& spec, const std::string& where) {
  const Fields fields(
      spec, where, {"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
  append_utf8(replacement, fields.character("replacement"));
  const std::string scheme = fields.text("prepend_scheme", "always");
  if (scheme == "never") {
    prepend = Prepend::never;
  } else if (scheme == "first") {
    prepend = Prepend::first;
  } else if (scheme != "always") {
    fields.refuse("prepend_scheme", "must be always, first or never");
  }
  // An older name of the scheme.
  if (!fields.boolean("add_prefix_space", true)) {
    if (fields.has("prepend_scheme") && prepend != Prepend::never) {
      fields.refuse("add_prefix_space", "contradicts \"prepend_scheme\"");
    }
    prepend = Prepend::never;
  }
  split = fields.boolean("split", true);
}

namespace {

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(MetaspaceFields fields)
      : fields_(std::move(fields)), mark_(code_point_at(fields_.replacement, 0).value) {}

  void split(Pieces& pieces) const override {
    const std::string_view mark = fields_.replacement;
    const std::string_view text = pieces.text;
    std::string made;
    made.reserve(text.size() + text.size() / 2 + mark.size());
    std::vector<std::size_t> ends;
    ends.reserve(pieces.ends.size() + text.size() / 5);
    std::size_t at = 0;
    for (const std::size_t end : pieces.ends) {
      const std::size_t begin = made.size();
      const bool marked = text[at] == ' ' || text.substr(at, end - at).starts_with(mark);
      if (!marked && prepends(at, pieces.section)) made += mark;
      while (at < end) {
        const bool space = text[at] == ' ';
        if (space || text.substr(at, end - at).starts_with(mark)) {
          if (fields_.split && made.size() > begin) ends.push_back(made.size());
          made += mark;
          at += space ? 1 : mark.size();
        } else {
          const std::size_t first = at++;
          while (at < end && text[at] != ' ' && text[at] != mark.front()) ++at;
          made += text.substr(first, at - first);
        }
      }
      ends.push_back(made.size());
    }
    pieces.text = std::move(made);
    pieces.ends = std::move(ends);
  }

  [[nodiscard]] bool separates(char32_t, char32_t after) const override {
    return fields_.split && (after == ' ' || after == mark_);
  }

 private:
  // Whether the mark goes in front of the piece at `at`.
  [[nodiscard]] bool prepends(std::size_t at, const Section& section) const {
    if (at == 0 && section.continued) return false;
    if (fields_.prepend == MetaspaceFields::Prepend::first) return at == 0 && section.first;
    return fields_.prepend == MetaspaceFields::Prepend::always;
  }

  MetaspaceFields fields_;
  char32_t mark_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_metaspace(const json& spec, const std::string& where) {
  return std::make_unique<Metaspace>(MetaspaceFields(spec, where));
}

}  // namespace trireme
