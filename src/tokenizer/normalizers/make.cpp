// SPDX-License-Identifier: Apache-2.0
// Which normalizer a tokenizer.json asks for, and sequences of normalizers.
#include <array>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "../characters.hpp"
#include "../utf8.hpp"
#include "step.hpp"

namespace trireme {

using nlohmann::json;

namespace {

NormalizerStepPtr make_step(const json& spec, const std::string& where);

class SequenceNormalizer final : public NormalizerStep {
 public:
  SequenceNormalizer(const json& spec, const std::string& where) {
    const Nesting nesting(where);
    const Fields fields(spec, where, {"normalizers"});
    const json& list = fields.array("normalizers");
    for (std::size_t i = 0; i < list.size(); ++i) {
      steps_.push_back(make_step(list[i], fmt::format("{}.normalizers[{}]", where, i)));
    }
  }

  void apply(std::string& text, const Section& section) const override {
    for (const auto& step : steps_) step->apply(text, section);
  }

  // Each step sees what the steps before it made of the two code points.
  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (!steps_[i]->separates(before, after)) return false;
      if (i + 1 == steps_.size()) break;
      if (!follow(*steps_[i], before) || !follow(*steps_[i], after)) return false;
    }
    return true;
  }

  [[nodiscard]] bool local(char32_t c) const override {
    for (const auto& step : steps_) {
      if (!follow(*step, c)) return false;
    }
    return true;
  }

 private:
  // Replaces `c` by its normal form if that is one code point whatever stands around `c`.
  [[nodiscard]] static bool follow(const NormalizerStep& step, char32_t& c) {
    if (!step.local(c)) return false;
    std::string text;
    append_utf8(text, c);
    step.apply(text, Section{.first = false, .continued = true});
    if (text.empty()) return false;
    const CodePoint made = code_point_at(text, 0);
    c = made.value;
    return made.bytes == text.size();
  }

  std::vector<NormalizerStepPtr> steps_;
};

NormalizerStepPtr make_sequence(const json& spec, const std::string& where) {
  return std::make_unique<SequenceNormalizer>(spec, where);
}

/// All of a file's normalisation.
class WholeNormalizer final : public Normalizer {
 public:
  explicit WholeNormalizer(NormalizerStepPtr step) : step_(std::move(step)) {}
  void apply(std::string& text, const Section& section) const override {
    step_->apply(text, section);
  }
  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    return step_->separates(before, after);
  }
  [[nodiscard]] std::optional<char32_t> form_of(char32_t c) const override {
    if (!step_->local(c)) return std::nullopt;
    std::string text;
    append_utf8(text, c);
    step_->apply(text, Section{.first = false, .continued = true});
    if (text.empty()) return std::nullopt;
    const CodePoint made = code_point_at(text, 0);
    return made.bytes == text.size() ? std::optional(made.value) : std::nullopt;
  }

 private:
  NormalizerStepPtr step_;
};

using Make = NormalizerStepPtr (*)(const json&, const std::string&);
constexpr std::array<std::pair<std::string_view, Make>, 10> kTypes{{
    {"Lowercase", make_lowercase},
    {"StripAccents", make_strip_accents},
    {"Nmt", make_nmt},
    {"BertNormalizer", make_bert_normalizer},
    {"Prepend", make_prepend},
    {"Replace", make_replace},
    {"Strip", make_strip},
    {"ByteLevel", make_byte_level_normalizer},
    {"Precompiled", make_precompiled},
    {"Sequence", make_sequence},
}};

NormalizerStepPtr make_step(const json& spec, const std::string& where) {
  const std::string type = type_of(spec, where);
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    const Fields none(spec, where, {});
    return make_normal_form(type);
  }
  for (const auto& [name, make] : kTypes) {
    if (type == name) return make(spec, where);
  }
  refuse_type(type, where,
              "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Nmt, BertNormalizer, Prepend, "
              "Replace, Strip, ByteLevel, Precompiled, Sequence");
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const json& spec, const std::string& where) {
  if (spec.is_null()) return nullptr;
  return std::make_unique<WholeNormalizer>(make_step(spec, where));
}

}  // namespace trireme
