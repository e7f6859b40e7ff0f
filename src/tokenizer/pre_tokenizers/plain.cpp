// SPDX-License-Identifier: Apache-2.0
// Pre-tokenizers that look at one character at a time: Bert, white space, digits, punctuation.
#include <array>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "../characters.hpp"
#include "../part_fields.hpp"
#include "makers.hpp"
#include "runs.hpp"

namespace trireme {

using nlohmann::json;

namespace {

std::unique_ptr<PreTokenizer> make_bert(const json& spec, const std::string& where) {
  const Fields none(spec, where, {});
  return split_runs([](char32_t c) {
    if (is_a(CharClass::white_space, c)) return RunClass::dropped;
    return is_a(CharClass::punctuation, c) ? RunClass::alone : RunClass::run;
  });
}

// The pattern is \w+|[^\w\s]+.
std::unique_ptr<PreTokenizer> make_whitespace(const json& spec, const std::string& where) {
  const Fields none(spec, where, {});
  return split_runs([](char32_t c) {
    if (is_a(CharClass::word, c)) return RunClass::run;
    return is_a(CharClass::white_space, c) ? RunClass::dropped : RunClass::other_run;
  });
}

std::unique_ptr<PreTokenizer> make_whitespace_split(const json& spec,
                                                    const std::string& where) {
  const Fields none(spec, where, {});
  return split_runs([](char32_t c) {
    return is_a(CharClass::white_space, c) ? RunClass::dropped : RunClass::run;
  });
}

std::unique_ptr<PreTokenizer> make_delimiter_split(const json& spec, const std::string& where) {
  const char32_t delimiter = Fields(spec, where, {"delimiter"}).character("delimiter");
  return split_runs(
      [delimiter](char32_t c) { return c == delimiter ? RunClass::dropped : RunClass::run; });
}

std::unique_ptr<PreTokenizer> make_digits(const json& spec, const std::string& where) {
  const Fields fields(spec, where, {"individual_digits"});
  const auto digit =
      fields.boolean("individual_digits") ? RunClass::alone : RunClass::other_run;
  return split_runs(
      [digit](char32_t c) { return is_a(CharClass::numeric, c) ? digit : RunClass::run; });
}

/// One punctuation mark joins the text before it or behind it; its other neighbours are pieces
/// of their own.
class JoinedPunctuation final : public PreTokenizer {
 public:
  explicit JoinedPunctuation(bool to_next) : to_next_(to_next) {}

  void split(Pieces& pieces) const override {
    std::vector<std::size_t> ends;
    std::size_t at = 0;
    for (const std::size_t end : pieces.ends) {
      bool after_mark = false;
      for (const std::size_t begin = at; at < end;) {
        const CodePoint c = code_point_at(pieces.text, at);
        const bool mark = is_a(CharClass::punctuation, c.value);
        if (at > begin && (to_next_ ? mark : after_mark)) ends.push_back(at);
        after_mark = mark;
        at += c.bytes;
      }
      ends.push_back(end);
    }
    pieces.ends = std::move(ends);
  }

  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    return is_a(CharClass::punctuation, to_next_ ? after : before);
  }

 private:
  bool to_next_;
};

std::unique_ptr<PreTokenizer> make_punctuation(const json& spec, const std::string& where) {
  const Fields fields(spec, where, {"behavior"});
  const std::string behavior = fields.text("behavior", "Isolated");
  const auto marks_are = [](RunClass mark) {
    return split_runs(
        [mark](char32_t c) { return is_a(CharClass::punctuation, c) ? mark : RunClass::run; });
  };
  if (behavior == "Isolated") return marks_are(RunClass::alone);
  if (behavior == "Removed") return marks_are(RunClass::dropped);
  if (behavior == "Contiguous") return marks_are(RunClass::other_run);
  if (behavior == "MergedWithPrevious" || behavior == "MergedWithNext") {
    return std::make_unique<JoinedPunctuation>(behavior == "MergedWithNext");
  }
  fields.refuse("behavior",
                "must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

/// Pieces of a fixed number of characters.
class FixedLength final : public PreTokenizer {
 public:
  FixedLength(const json& spec, const std::string& where) {
    const Fields fields(spec, where, {"length"});
    length_ = fields.whole_number("length", 5);
    if (length_ == 0) fields.refuse("length", "must be at least 1");
  }
  void split(Pieces& pieces) const override {
    std::vector<std::size_t> ends;
    std::size_t at = 0;
    for (const std::size_t end : pieces.ends) {
      for (std::int64_t n = 1; at < end; ++n) {
        at += code_point_at(pieces.text, at).bytes;
        if (n % length_ == 0 || at == end) ends.push_back(at);
      }
    }
    pieces.ends = std::move(ends);
  }

 private:
  std::int64_t length_ = 0;
};

std::unique_ptr<PreTokenizer> make_fixed_length(const json& spec, const std::string& where) {
  return std::make_unique<FixedLength>(spec, where);
}

using Make = std::unique_ptr<PreTokenizer> (*)(const json&, const std::string&);
constexpr std::array<std::pair<std::string_view, Make>, 9> kTypes{{
    {"BertPreTokenizer", make_bert},
    {"Whitespace", make_whitespace},
    {"WhitespaceSplit", make_whitespace_split},
    {"CharDelimiterSplit", make_delimiter_split},
    {"Digits", make_digits},
    {"Punctuation", make_punctuation},
    {"FixedLength", make_fixed_length},
    {"Metaspace", make_metaspace},
    {"UnicodeScripts", make_unicode_scripts},
}};

}  // namespace

std::unique_ptr<PreTokenizer> make_plain_pre_tokenizer(const json& spec,
                                                       const std::string& where) {
  const std::string type = type_of(spec, where);
  for (const auto& [name, make] : kTypes) {
    if (type == name) return make(spec, where);
  }
  refuse_type(
      type, where,
      "ByteLevel, Split, Sequence, BertPreTokenizer, Whitespace, WhitespaceSplit, "
      "CharDelimiterSplit, Digits, Punctuation, FixedLength, Metaspace, UnicodeScripts");
}

}  // namespace trireme
