// SPDX-License-Identifier: Apache-2.0
// Normalizers that put text in, take text away or replace text: Prepend, Replace, Strip,
// ByteLevel.
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "../byte_alphabet.hpp"
#include "../characters.hpp"
#include "../pattern.hpp"
#include "../utf8.hpp"
#include "step.hpp"

namespace trireme {

using nlohmann::json;

namespace {

class Prepend final : public NormalizerStep {
 public:
  Prepend(const json& spec, const std::string& where)
      : prefix_(Fields(spec, where, {"prepend"}).text("prepend")) {}
  void apply(std::string& text, const Section& section) const override {
    if (!text.empty() && !section.continued) text.insert(0, prefix_);
  }
  [[nodiscard]] bool separates(char32_t, char32_t) const override { return true; }
  [[nodiscard]] bool local(char32_t) const override { return true; }

 private:
  std::string prefix_;
};

class ReplaceString final : public NormalizerStep {
 public:
  ReplaceString(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void apply(std::string& text, const Section&) const override {
    std::size_t found = text.find(pattern_);
    if (found == std::string::npos) return;
    std::string result;
    std::size_t done = 0;
    for (; found != std::string::npos; found = text.find(pattern_, done)) {
      result.append(text, done, found - done);
      result += content_;
      done = found + pattern_.size();
    }
    result.append(text, done);
    text = std::move(result);
  }

  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    std::string pair;
    append_utf8(pair, before);
    append_utf8(pair, after);
    return pattern_.find(pair) == std::string::npos;
  }
  [[nodiscard]] bool local(char32_t c) const override {
    std::string one;
    append_utf8(one, c);
    return pattern_ == one || pattern_.find(one) == std::string::npos;
  }

 private:
  std::string pattern_, content_;
};

class ReplaceRegex final : public NormalizerStep {
 public:
  ReplaceRegex(const std::string& pattern, std::string content, const std::string& where)
      : pattern_(pattern, Flavour::oniguruma, where), content_(std::move(content)) {}

  void apply(std::string& text, const Section&) const override {
    std::string result;
    std::size_t done = 0;
    std::optional<std::size_t> last_end;
    for (std::size_t from = 0; from <= text.size();) {
      const std::optional<Match> match = pattern_.find(text, from);
      if (!match) break;
      from = match->end;
      // An empty match right behind the last match does not count.
      if (match->begin == match->end && last_end == match->end) {
        if (from == text.size()) break;
        from += code_point_at(text, from).bytes;
        continue;
      }
      last_end = match->end;
      result.append(text, done, match->begin - done);
      result += content_;
      done = match->end;
    }
    result.append(text, done);
    text = std::move(result);
  }
  // A match may look at any other character.
  [[nodiscard]] bool local(char32_t) const override { return false; }

 private:
  Pattern pattern_;
  std::string content_;
};

class Strip final : public NormalizerStep {
 public:
  Strip(const json& spec, const std::string& where) {
    const Fields fields(spec, where, {"strip_left", "strip_right"});
    left_ = fields.boolean("strip_left");
    right_ = fields.boolean("strip_right");
  }

  void apply(std::string& text, const Section&) const override {
    std::size_t end = text.size();
    while (right_ && end > 0) {
      const CodePoint c = code_point_before(text, end);
      if (!is_a(CharClass::white_space, c.value)) break;
      end -= c.bytes;
    }
    std::size_t begin = 0;
    while (left_ && begin < end) {
      const CodePoint c = code_point_at(text, begin);
      if (!is_a(CharClass::white_space, c.value)) break;
      begin += c.bytes;
    }
    text.erase(end);
    text.erase(0, begin);
  }

  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    return !is_a(CharClass::white_space, before) && !is_a(CharClass::white_space, after);
  }
  [[nodiscard]] bool local(char32_t c) const override {
    return !is_a(CharClass::white_space, c);
  }

 private:
  bool left_ = true, right_ = true;
};

class ByteLevelNormalizer final : public NormalizerStep {
 public:
  ByteLevelNormalizer(const json& spec, const std::string& where) {
    const Fields none(spec, where, {});
  }
  void apply(std::string& text, const Section&) const override {
    std::string result;
    append_as_characters(result, text);
    text = std::move(result);
  }
  [[nodiscard]] bool separates(char32_t, char32_t) const override { return true; }
  [[nodiscard]] bool local(char32_t) const override { return true; }
};

}  // namespace

NormalizerStepPtr make_prepend(const json& spec, const std::string& where) {
  return std::make_unique<Prepend>(spec, where);
}

NormalizerStepPtr make_replace(const json& spec, const std::string& where) {
  const Fields fields(spec, where, {"pattern", "content"});
  const Fields pattern(fields.any("pattern"), fields.where("pattern"), {"String", "Regex"});
  std::string content = fields.text("content");
  if (pattern.has("Regex")) {
    return std::make_unique<ReplaceRegex>(pattern.text("Regex"), std::move(content),
                                          pattern.where("Regex"));
  }
  std::string text = pattern.text("String");
  if (text.empty()) pattern.refuse("String", "is empty: nothing can be replaced");
  return std::make_unique<ReplaceString>(std::move(text), std::move(content));
}

NormalizerStepPtr make_strip(const json& spec, const std::string& where) {
  return std::make_unique<Strip>(spec, where);
}

NormalizerStepPtr make_byte_level_normalizer(const json& spec, const std::string& where) {
  return std::make_unique<ByteLevelNormalizer>(spec, where);
}

}  // namespace trireme
