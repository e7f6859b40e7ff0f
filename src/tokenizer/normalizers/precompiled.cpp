// SPDX-License-Identifier: Apache-2.0
// Precompiled: SentencePiece's table of characters, applied to grapheme clusters. A short
// cluster that begins with a rule's text becomes the rule's new text as a whole.
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "../base64.hpp"
#include "../characters.hpp"
#include "../charsmap.hpp"
#include "../utf8.hpp"
#include "step.hpp"

namespace trireme {

using nlohmann::json;

namespace {

constexpr std::size_t kShortCluster = 5;  // bytes

class Precompiled final : public NormalizerStep {
 public:
  Precompiled(const json& spec, const std::string& where) {
    const Fields fields(spec, where, {"precompiled_charsmap"});
    const auto blob = from_base64(fields.text("precompiled_charsmap"));
    if (!blob) fields.refuse("precompiled_charsmap", "is no base64");
    map_ = CharsMap(*blob, fields.where("precompiled_charsmap"));
    for (std::size_t c = 0; c < ascii_.size(); ++c) {
      const std::string one(1, static_cast<char>(c));
      append_cluster(ascii_[c], one);
      stays_[c] = ascii_[c] == one;
    }
  }

  void apply(std::string& text, const Section&) const override {
    const std::string_view all = text;
    std::string result;
    result.reserve(all.size() + all.size() / 8);
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t begin = at;
      while (at < all.size() && alone(all, at) && stays_[byte_at(all, at)]) ++at;
      result += all.substr(begin, at - begin);
      if (at == all.size()) break;
      if (alone(all, at)) {
        result += ascii_[byte_at(all, at++)];
        continue;
      }
      const std::size_t end = grapheme_end(all, at);
      append_cluster(result, all.substr(at, end - at));
      at = end;
    }
    text = std::move(result);
  }

  // Two clusters of ASCII meet everywhere but within CR LF.
  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    return before < 0x80 && after < 0x80 && !(before == '\r' && after == '\n');
  }
  // A mark behind any character can join its cluster.
  [[nodiscard]] bool local(char32_t) const override { return false; }

 private:
  [[nodiscard]] static std::size_t byte_at(std::string_view text, std::size_t at) {
    return static_cast<unsigned char>(text[at]);
  }
  // Whether the byte at `at` is a cluster.
  [[nodiscard]] static bool alone(std::string_view text, std::size_t at) {
    const auto ascii = [&](std::size_t i) {
      return i == text.size() || static_cast<unsigned char>(text[i]) < 0x80;
    };
    return ascii(at) && ascii(at + 1) && text[at] != '\r';
  }

  void append_cluster(std::string& to, std::string_view cluster) const {
    if (cluster.size() <= kShortCluster) {
      if (const auto rule = map_.shortest(cluster)) {
        to += rule->text;
        return;
      }
    }
    for (std::size_t at = 0; at < cluster.size();) {
      const std::string_view c = cluster.substr(at, code_point_at(cluster, at).bytes);
      const auto rule = map_.shortest(c);
      to += rule ? rule->text : c;
      at += c.size();
    }
  }

  CharsMap map_;
  std::array<std::string, 128> ascii_;  // the normal form of each as a cluster
  std::array<bool, 128> stays_{};       // whether that is the character itself
};

}  // namespace

NormalizerStepPtr make_precompiled(const json& spec, const std::string& where) {
  return std::make_unique<Precompiled>(spec, where);
}

}  // namespace trireme
