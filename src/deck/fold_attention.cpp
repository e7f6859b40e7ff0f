// SPDX-License-Identifier: Apache-2.0
// Checks attention_config, which lists kinds of attention: [[["global", "local"], 6]].
#include <algorithm>
#include <charconv>

#include "fold.hpp"

namespace trireme::deck {
namespace {

using Kind = Faults::Kind;

/// Why a kind of attention is not available; empty if it is available.
std::string refusal_of(const std::string& kind) {
  if (kind == "global" || kind == "flash") return {};
  for (const char* model : {"mamba", "rwkv", "gmlp", "amlp"}) {
    if (kind == model) {
      return fmt::format("{} layers make another model, which Trireme lacks", kind);
    }
  }
  return "only global and flash are available; use [[[\"global\"], num_layers]], and "
         "sliding_window_width for windows";
}

class Attention {
 public:
  Attention(const Value& value, std::int64_t layers, Faults& faults)
      : value_(value), layers_(layers), faults_(faults) {}

  void check() {
    if (value_.kind != Value::Kind::list) {
      refuse(value_, refusal_of(value_.text));
      return;
    }
    const bool names = std::ranges::all_of(value_.items, is_scalar);
    for (const Value& item : value_.items) names ? add_kind(item) : add_pair(item);
    if (!good_ || value_.items.empty() || covered_ == layers_) return;
    faults_.add(Kind::wrong_value, value_.place,
                fmt::format("attention_config covers {} layers, but num_layers is {}; it must "
                            "cover each layer once",
                            covered_, layers_));
  }

 private:
  static bool is_scalar(const Value& v) { return v.kind == Value::Kind::scalar; }

  void refuse(const Value& value, const std::string& why) {
    if (why.empty()) return;
    good_ = false;
    faults_.add(Kind::refused, value.place,
                fmt::format("attention_config: {} is not available: {}", value.plain(), why));
  }

  void add_kind(const Value& kind) {
    refuse(kind, refusal_of(kind.text));
    ++covered_;
  }

  /// A list of kinds, and how often the list is repeated: a number, or "all".
  void add_pair(const Value& pair) {
    const bool two = pair.kind == Value::Kind::list && pair.items.size() == 2 &&
                     pair.items[0].kind == Value::Kind::list && is_scalar(pair.items[1]);
    std::int64_t times = 0;
    const std::string text = two ? pair.items[1].text : "";
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), times);
    const auto kinds = two ? static_cast<std::int64_t>(pair.items[0].items.size()) : 0;
    const bool all = text == "all";
    if (!two || kinds == 0 ||
        (!all && (error != std::errc{} || times < 0 || times > 1'000'000))) {
      good_ = false;
      faults_.add(Kind::wrong_value, pair.place,
                  fmt::format("attention_config expects [[kinds, number of times], …], got {}",
                              pair.str()));
      return;
    }
    for (const Value& kind : pair.items[0].items) refuse(kind, refusal_of(kind.text));
    if (!all) {
      covered_ += kinds * times;
    } else {
      covered_ = layers_ % kinds == 0 ? layers_ : layers_ / kinds * kinds;
    }
  }

  const Value& value_;
  std::int64_t layers_;
  Faults& faults_;
  std::int64_t covered_ = 0;
  bool good_ = true;
};

}  // namespace

void check_attention(const Settings& settings, const Draft& draft, Faults& faults) {
  const Setting* s = given(settings, "attention_config");
  if (s == nullptr || s->value.text == "None") return;
  Attention(s->value, draft.deck.model.num_layers, faults).check();
}

}  // namespace trireme::deck
