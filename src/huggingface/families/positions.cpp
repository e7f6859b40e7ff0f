// SPDX-License-Identifier: Apache-2.0
// Rules for rotary embedding and for windows of attention.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "trireme/core/error.hpp"

#include "rope_scaling.hpp"
#include "rules.hpp"

namespace trireme::huggingface {

namespace {

/// A scaling of rotary frequencies, and the numbers that the type has beside `factor`.
struct Scaling {
  std::string_view type;
  std::vector<std::string_view> numbers;
  bool needs_length = false;  ///< the length of the first training
};
const std::array<Scaling, 4>& scalings() {
  static const std::array<Scaling, 4> kScalings{
      Scaling{"linear", {}}, Scaling{"dynamic", {}, true},
      Scaling{"llama3", {"low_freq_factor", "high_freq_factor"}, true},
      Scaling{"yarn", {"beta_fast", "beta_slow", "attention_factor"}, true}};
  return kScalings;
}

constexpr const char* kLength = "original_max_position_embeddings";

}  // namespace

void read_scaling(Fields& config, std::int64_t most_positions, Keys& keys) {
  const std::string usual = config.word("type", "default");  // older files' word
  const std::string type = config.word("rope_type", usual);
  if (type == "default") return;
  const auto* const known = std::ranges::find(scalings(), type, &Scaling::type);
  TRM_REQUIRE(known != scalings().end(),
              "{}: rope_type is {}; linear, dynamic, llama3 and yarn can be loaded",
              config.where(), type);
  keys["rope_scaling.type"] = type;
  const double factor = config.number("factor", 0);
  TRM_REQUIRE(factor > 0, "{}: factor must be above 0", config.where());
  keys["rope_scaling.factor"] = factor;
  for (const std::string_view name : known->numbers) {
    if (!config.has(name)) continue;
    keys[fmt::format("rope_scaling.{}", name)] = config.number(name, 0);
  }
  if (type == "dynamic") {
    config.require(kLength, most_positions, "dynamic scales from max_position_embeddings");
  }
  if (known->needs_length) {
    keys[fmt::format("rope_scaling.{}", kLength)] =
        config.has(kLength) ? config.count(kLength) : most_positions;
  } else {
    config.pass(kLength);
  }
}

void read_either_scaling(Fields& five, Fields& four, std::int64_t most_positions, Keys& keys) {
  Keys of_five;
  Keys of_four;
  read_scaling(five, most_positions, of_five);
  read_scaling(four, most_positions, of_four);
  TRM_REQUIRE(of_five.empty() || of_four.empty() || of_five == of_four,
              "{} and {} scale in two ways; only one of them can be meant", five.where(),
              four.where());
  keys.merge(of_five);
  keys.merge(of_four);
}

OrderedJson written_scaling(const Keys& keys) {
  const Json* type = find(keys, "rope_scaling.type");
  if (type == nullptr || *type == "none") return nullptr;
  OrderedJson scaling{{"rope_type", *type}, {"factor", real(keys, "rope_scaling.factor", 1)}};
  const auto* const known =
      std::ranges::find(scalings(), type->get<std::string>(), &Scaling::type);
  if (known == scalings().end()) return nullptr;
  for (const std::string_view name : known->numbers) {
    const double value = real(keys, fmt::format("rope_scaling.{}", name), 0);
    if (value != 0) scaling[std::string(name)] = value;
  }
  if (known->needs_length && *type != "dynamic") {
    scaling[kLength] = whole(keys, fmt::format("rope_scaling.{}", kLength), 0);
  }
  return scaling;
}

Rule rope(const RopeWords& words) {
  const auto read = [words](Fields& config, Keys& keys) {
    keys["pos_emb"] = "rotary";
    const std::int64_t positions = whole(keys, "max_position_embeddings", 0);
    Fields five = config.object("rope_parameters");  // transformers 5
    Fields four = config.object("rope_scaling");     // and before
    const double base = config.number(words.base, words.usual_base);
    keys["rotary_emb_base"] = five.number("rope_theta", base);
    if (words.base != "rope_theta") {
      config.require("rope_theta", keys["rotary_emb_base"], "both are the base");
    }
    double share = words.usual_share;
    if (!words.share.empty()) {
      share = config.number(words.share, share);
      share = five.number("partial_rotary_factor", share);
      keys["rotary_pct"] = share;
    }
    five.require("partial_rotary_factor", share, "this family rotates whole heads");
    read_either_scaling(five, four, positions, keys);
    five.require_all_read();
    four.require_all_read();
  };
  const auto write = [words](const Keys& keys, OrderedJson& config) {
    config[words.base] = real(keys, "rotary_emb_base", words.usual_base);
    if (!words.share.empty()) config[words.share] = real(keys, "rotary_pct", words.usual_share);
    const OrderedJson scaling = written_scaling(keys);
    if (!scaling.is_null()) config["rope_scaling"] = scaling;
  };
  return {read, write};
}

namespace {

/// What each layer attends to, as transformers 5 writes it; empty if nothing is written.
std::vector<bool> read_sliding_layers(Fields& config, std::int64_t layers) {
  const Json& types = config.value("layer_types");
  if (types.is_null()) return {};
  TRM_REQUIRE(types.is_array() && static_cast<std::int64_t>(types.size()) == layers,
              "{}: layer_types must have a word for each of the {} layers", config.where(),
              layers);
  std::vector<bool> sliding;
  for (const Json& type : types) {
    TRM_REQUIRE(type == "sliding_attention" || type == "full_attention",
                "{}: layer_types has {}; known are full_attention and sliding_attention",
                config.where(), brief(type));
    sliding.push_back(type == "sliding_attention");
  }
  return sliding;
}

void require_layers(const Fields& config, const std::vector<bool>& sliding, bool expected) {
  TRM_REQUIRE(std::ranges::all_of(sliding, [=](bool s) { return s == expected; }),
              "{}: layer_types has layers with a window and others without one, which only "
              "Gemma's order of layers may have here",
              config.where());
}

}  // namespace

Rule window() {
  static constexpr std::int64_t kUsual = 4096;
  return {[](Fields& config, Keys& keys) {
            const std::int64_t layers = whole(keys, "num_layers", 0);
            const bool none = config.written("sliding_window") && !config.has("sliding_window");
            require_layers(config, read_sliding_layers(config, layers), !none);
            if (!none) keys["sliding_window_width"] = config.count("sliding_window", kUsual);
          },
          [](const Keys& keys, OrderedJson& config) {
            const std::int64_t width = whole(keys, "sliding_window_width", 0);
            config["sliding_window"] = width > 0 ? OrderedJson(width) : OrderedJson(nullptr);
          }};
}

Rule switched_window() {
  static constexpr std::int64_t kUsual = 4096;
  return {[](Fields& config, Keys& keys) {
            const std::int64_t layers = whole(keys, "num_layers", 0);
            const std::vector<bool> sliding = read_sliding_layers(config, layers);
            const bool used = config.truth("use_sliding_window", false);
            const bool none = config.written("sliding_window") && !config.has("sliding_window");
            const std::int64_t width = none ? 0 : config.count("sliding_window", kUsual);
            const double without = config.number("max_window_layers", 28);
            const bool slides = used && !none && without < static_cast<double>(layers);
            const std::int64_t first = slides ? static_cast<std::int64_t>(without) : layers;
            TRM_REQUIRE(!slides || (without >= 0 && static_cast<double>(first) == without),
                        "{}: max_window_layers {} is no number of layers", config.where(),
                        without);
            for (std::int64_t i = 0; i < std::ssize(sliding); ++i) {
              TRM_REQUIRE(sliding[static_cast<std::size_t>(i)] == (i >= first),
                          "{}: layer_types gives layer {} another attention than "
                          "use_sliding_window and max_window_layers do",
                          config.where(), i);
            }
            if (!slides) return;
            keys["sliding_window_width"] = width;
            keys["sliding_window_first_layer"] = first;
          },
          [](const Keys& keys, OrderedJson& config) {
            const std::int64_t width = whole(keys, "sliding_window_width", 0);
            config["use_sliding_window"] = width > 0;
            config["sliding_window"] = width > 0 ? OrderedJson(width) : OrderedJson(nullptr);
            config["max_window_layers"] =
                whole(keys, width > 0 ? "sliding_window_first_layer" : "num_layers", 0);
          }};
}

Rule alternating_window(std::int64_t usual_pattern, std::int64_t usual_width) {
  const auto read = [=](Fields& config, Keys& keys) {
    const std::int64_t layers = whole(keys, "num_layers", 0);
    const std::int64_t width = config.count("sliding_window", usual_width);
    std::int64_t pattern = config.count("_sliding_window_pattern", usual_pattern);
    pattern = config.count("sliding_window_pattern", pattern);
    const std::vector<bool> sliding = read_sliding_layers(config, layers);
    const auto full = std::ranges::find(sliding, false);
    if (full != sliding.end()) pattern = full - sliding.begin() + 1;
    for (std::int64_t i = 0; i < std::ssize(sliding); ++i) {
      TRM_REQUIRE(sliding[static_cast<std::size_t>(i)] == ((i + 1) % pattern != 0),
                  "{}: layer_types does not give every {}th layer the whole sequence and all "
                  "others a window",
                  config.where(), pattern);
    }
    keys["sliding_window_width"] = width;
    keys["sliding_window_pattern"] = pattern;
  };
  const auto write = [=](const Keys& keys, OrderedJson& config) {
    const std::int64_t pattern = whole(keys, "sliding_window_pattern", usual_pattern);
    config["sliding_window"] = whole(keys, "sliding_window_width", usual_width);
    config["sliding_window_pattern"] = pattern;
    OrderedJson types = OrderedJson::array();
    for (std::int64_t i = 0; i < whole(keys, "num_layers", 0); ++i) {
      types.push_back(pattern > 0 && (i + 1) % pattern == 0 ? "full_attention"
                                                            : "sliding_attention");
    }
    config["layer_types"] = types;
  };
  return {read, write};
}

}  // namespace trireme::huggingface
