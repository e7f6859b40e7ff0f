// SPDX-License-Identifier: Apache-2.0
// BertNormalizer: cleans text, surrounds Chinese characters by spaces, strips accents, lowers.
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "../characters.hpp"
#include "../utf8.hpp"
#include "step.hpp"

namespace trireme {

using nlohmann::json;

namespace {

bool is_chinese(char32_t c) {
  constexpr std::array<std::pair<char32_t, char32_t>, 8> kRanges{{{0x3400, 0x4dbf},
                                                                  {0x4e00, 0x9fff},
                                                                  {0xf900, 0xfaff},
                                                                  {0x20000, 0x2a6df},
                                                                  {0x2a700, 0x2b73f},
                                                                  {0x2b740, 0x2b81f},
                                                                  {0x2b920, 0x2ceaf},
                                                                  {0x2f800, 0x2fa1f}}};
  for (const auto& [first, last] : kRanges) {
    if (c >= first && c <= last) return true;
  }
  return false;
}

class BertNormalizer final : public NormalizerStep {
 public:
  BertNormalizer(const json& spec, const std::string& where) {
    const Fields fields(spec, where,
                        {"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
    clean_ = fields.boolean("clean_text");
    chinese_ = fields.boolean("handle_chinese_chars");
    lower_ = fields.boolean("lowercase");
    strip_ = fields.boolean("strip_accents", lower_);  // null: as "lowercase"
    for (unsigned char c = 0; c < 0x80; ++c) {
      std::string made;
      if (!dropped(c)) {
        const char32_t cleaned = to_space(c) ? U' ' : c;
        if (lower_) {
          append_lower_case(made, cleaned);
        } else {
          append_utf8(made, cleaned);
        }
      }
      kept_[c] = made.size();
      ascii_[c] = made.empty() ? '\0' : made[0];
    }
  }

  void apply(std::string& text, const Section&) const override {
    std::string result;
    result.reserve(text.size() + text.size() / 8);
    bool only_ascii = true;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = ascii_end(text, at);
      append_ascii(result, std::string_view(text).substr(at, end - at));
      at = end;
      only_ascii = only_ascii && at == text.size();
      while (at < text.size() && static_cast<unsigned char>(text[at]) >= 0x80) {
        const CodePoint c = code_point_at(text, at);
        append_cleaned(result, c.value);
        at += c.bytes;
      }
    }
    text = std::move(result);
    if (!only_ascii) finish(text);
  }

  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    return !strip_ || normal_forms_separate(before, after);
  }
  [[nodiscard]] bool local(char32_t c) const override {
    return !strip_ || !is_a(CharClass::normalized, c);
  }

 private:
  [[nodiscard]] bool dropped(char32_t c) const {
    if (!clean_ || c == '\t' || c == '\n' || c == '\r') return false;
    return c == 0 || c == 0xfffd || is_a(CharClass::other, c);
  }
  [[nodiscard]] bool to_space(char32_t c) const {
    return clean_ && is_a(CharClass::white_space, c);
  }

  void append_ascii(std::string& to, std::string_view ascii) const {
    std::size_t size = to.size();
    to.resize(size + ascii.size());
    for (const char c : ascii) {
      to[size] = ascii_[static_cast<unsigned char>(c)];
      size += kept_[static_cast<unsigned char>(c)];
    }
    to.resize(size);
  }

  void append_cleaned(std::string& to, char32_t c) const {
    if (dropped(c)) return;
    if (chinese_ && is_chinese(c)) {
      to += ' ';
      append_utf8(to, c);
      to += ' ';
    } else {
      append_utf8(to, to_space(c) ? U' ' : c);
    }
  }

  void finish(std::string& text) const {
    if (strip_) normalize(text, NormalForm::nfd);
    if (!strip_ && !lower_) return;
    std::string result;
    result.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      if (static_cast<unsigned char>(text[at]) < 0x80) {
        result += lower_ ? ascii_lower(text[at]) : text[at];
        ++at;
        continue;
      }
      const CodePoint c = code_point_at(text, at);
      at += c.bytes;
      if (strip_ && is_a(CharClass::nonspacing_mark, c.value)) continue;
      if (lower_) {
        append_lower_case(result, c.value);
      } else {
        append_utf8(result, c.value);
      }
    }
    text = std::move(result);
  }

  [[nodiscard]] static char ascii_lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }

  bool clean_ = true, chinese_ = true, strip_ = true, lower_ = true;
  std::array<char, 128> ascii_{};
  std::array<std::size_t, 128> kept_{};
};

}  // namespace

NormalizerStepPtr make_bert_normalizer(const json& spec, const std::string& where) {
  return std::make_unique<BertNormalizer>(spec, where);
}

}  // namespace trireme
