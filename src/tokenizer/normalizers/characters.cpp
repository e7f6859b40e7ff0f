// SPDX-License-Identifier: Apache-2.0
// Normalizers that change or drop single characters: normal forms, lower case, accents, Nmt.
#include "../characters.hpp"

#include <utility>

#include <nlohmann/json.hpp>

#include "../utf8.hpp"
#include "step.hpp"

namespace trireme {

using nlohmann::json;

namespace {

class NormalFormStep final : public NormalizerStep {
 public:
  explicit NormalFormStep(NormalForm form) : form_(form) {}
  void apply(std::string& text, const Section&) const override { normalize(text, form_); }
  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    return normal_forms_separate(before, after);
  }
  [[nodiscard]] bool local(char32_t c) const override {
    return !is_a(CharClass::normalized, c);
  }

 private:
  NormalForm form_;
};

/// A normalizer that maps each code point by itself.
template <class Map>
class CharacterStep final : public NormalizerStep {
 public:
  explicit CharacterStep(Map map) : map_(std::move(map)) {}
  void apply(std::string& text, const Section&) const override {
    std::string result;
    result.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = code_point_at(text, at);
      map_(result, c.value);
      at += c.bytes;
    }
    text = std::move(result);
  }
  [[nodiscard]] bool separates(char32_t, char32_t) const override { return true; }
  [[nodiscard]] bool local(char32_t) const override { return true; }

 private:
  Map map_;
};

template <class Map>
NormalizerStepPtr by_character(const json& spec, const std::string& where, Map map) {
  const Fields none(spec, where, {});
  return std::make_unique<CharacterStep<Map>>(std::move(map));
}

// The rules of the "nmt" normalisation that translation systems used.
bool is_dropped_by_nmt(char32_t c) {
  return (c >= 0x1 && c <= 0x8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f ||
         c == 0x8f || c == 0x9f;
}

bool is_space_to_nmt(char32_t c) {
  switch (c) {
    case 0x9:
    case 0xa:
    case 0xc:
    case 0xd:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x2581:
    case 0xfeff:
    case 0xfffd:
      return true;
    default:
      return c >= 0x200b && c <= 0x200f;
  }
}

}  // namespace

NormalizerStepPtr make_normal_form(const std::string& type) {
  const bool compatible = type == "NFKC" || type == "NFKD";
  const bool compose = type == "NFC" || type == "NFKC";
  const NormalForm form = compatible ? (compose ? NormalForm::nfkc : NormalForm::nfkd)
                                     : (compose ? NormalForm::nfc : NormalForm::nfd);
  return std::make_unique<NormalFormStep>(form);
}

NormalizerStepPtr make_lowercase(const json& spec, const std::string& where) {
  return by_character(spec, where, append_lower_case);
}

NormalizerStepPtr make_strip_accents(const json& spec, const std::string& where) {
  return by_character(spec, where, [](std::string& to, char32_t c) {
    if (!is_a(CharClass::mark, c)) append_utf8(to, c);
  });
}

NormalizerStepPtr make_nmt(const json& spec, const std::string& where) {
  return by_character(spec, where, [](std::string& to, char32_t c) {
    if (!is_dropped_by_nmt(c)) append_utf8(to, is_space_to_nmt(c) ? U' ' : c);
  });
}

}  // namespace trireme
