// SPDX-License-Identifier: Apache-2.0
// Rules for one or two fields each.
#include "rules.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "trireme/core/error.hpp"

namespace trireme::huggingface {

namespace {

/// A word of config.json, and the key activation with and without a gate. The first word of an
/// activation is written.
struct Word {
  std::string_view word;
  std::string_view plain;
  std::string_view gated;
  bool tanh = false;
};
constexpr std::array kWords{Word{"silu", "silu", "swiglu"},
                            Word{"swish", "silu", "swiglu"},
                            Word{"gelu", "gelu", "geglu"},
                            Word{"relu", "relu", "reglu"},
                            Word{"gelu_new", "gelu", "geglu_tanh", true},
                            Word{"gelu_pytorch_tanh", "gelu", "geglu_tanh", true},
                            Word{"gelu_fast", "gelu", "geglu_tanh", true}};

const Word& word_named(const std::string& name, const Fields& config,
                       const std::string& field) {
  for (const Word& w : kWords) {
    if (w.word == name) return w;
  }
  throw Error(
      fmt::format("{}: {} is {}; known are silu, swish, gelu, gelu_new, "
                  "gelu_pytorch_tanh, gelu_fast and relu",
                  config.where(), field, name));
}

}  // namespace

const Json* find(const Keys& keys, const std::string& key) {
  const auto at = keys.find(key);
  return at == keys.end() || at->second.is_null() ? nullptr : &at->second;
}

double real(const Keys& keys, const std::string& key, double usual) {
  const Json* value = find(keys, key);
  return value != nullptr && value->is_number() ? value->get<double>() : usual;
}

std::int64_t whole(const Keys& keys, const std::string& key, std::int64_t usual) {
  const Json* value = find(keys, key);
  return value != nullptr && value->is_number_integer() ? value->get<std::int64_t>() : usual;
}

void add(std::vector<Rule>& rules, std::vector<Rule> more) {
  for (Rule& rule : more) rules.push_back(std::move(rule));
}

Rule count(const std::string& field, const std::string& key) {
  return {[field, key](Fields& config, Keys& keys) { keys[key] = config.count(field); },
          [field, key](const Keys& keys, OrderedJson& config) {
            config[field] = whole(keys, key, 0);
          }};
}

Rule number(const std::string& field, const std::string& key, double usual) {
  return {
      [=](Fields& config, Keys& keys) { keys[key] = config.number(field, usual); },
      [=](const Keys& keys, OrderedJson& config) { config[field] = real(keys, key, usual); }};
}

Rule truth(const std::string& field, const std::string& key, bool usual) {
  return {[=](Fields& config, Keys& keys) { keys[key] = config.truth(field, usual); },
          [=](const Keys& keys, OrderedJson& config) {
            const Json* value = find(keys, key);
            config[field] = value == nullptr ? usual : value->get<bool>();
          }};
}

Rule tied(bool usual) {
  const std::string field = "tie_word_embeddings";
  return {[=](Fields& config, Keys& keys) {
            keys["no_weight_tying"] = !config.truth(field, usual);
          },
          [=](const Keys& keys, OrderedJson& config) {
            const Json* untied = find(keys, "no_weight_tying");
            config[field] = untied == nullptr || !untied->get<bool>();
          }};
}

Rule always(const std::string& key, const Json& value) {
  return {[=](Fields&, Keys& keys) { keys[key] = value; }, [](const Keys&, OrderedJson&) {}};
}

Rule only(const std::string& field, const Json& value, const std::string& why) {
  return {[=](Fields& config, Keys&) { config.require(field, value, why); },
          [=](const Keys&, OrderedJson& config) { config[field] = value; }};
}

Rule refusing(const std::string& field, const Json& value, const std::string& why) {
  return {[=](Fields& config, Keys&) { config.require(field, value, why); },
          [](const Keys&, OrderedJson&) {}};
}

Rule activation(const std::string& field, const std::string& usual, bool gate) {
  const auto read = [=](Fields& config, Keys& keys) {
    const Word& w = word_named(config.word(field, usual), config, field);
    keys["activation"] = gate ? w.gated : w.plain;
    if (!gate) keys["bias_gelu_fusion"] = w.tanh;
  };
  const auto write = [=](const Keys& keys, OrderedJson& config) {
    const Json* name = find(keys, "activation");
    const Json* tanh = find(keys, "bias_gelu_fusion");
    const bool approximate = !gate && tanh != nullptr && tanh->get<bool>();
    const auto means = [&](const Word& w) {
      return name != nullptr && *name == (gate ? w.gated : w.plain) &&
             (gate || w.tanh == approximate);
    };
    // The family's own word comes first.
    const auto own = std::ranges::find(kWords, usual, &Word::word);
    const auto first = std::ranges::find_if(kWords, means);
    const bool is_own = own != kWords.end() && means(*own);
    config[field] = is_own || first == kWords.end() ? usual : std::string(first->word);
  };
  return {read, write};
}

Rule gated_width() {
  return {[](Fields& config, Keys& keys) {
            keys["intermediate_size"] = 3 * config.count("intermediate_size");
          },
          [](const Keys& keys, OrderedJson& config) {
            config["intermediate_size"] = whole(keys, "intermediate_size", 0) / 3;
          }};
}

Rule plain_width(const std::string& field) {
  return {[=](Fields& config, Keys& keys) {
            keys["intermediate_size"] =
                config.has(field) ? config.count(field) : 4 * whole(keys, "hidden_size", 0);
          },
          [=](const Keys& keys, OrderedJson& config) {
            config[field] = whole(keys, "intermediate_size", 0);
          }};
}

Rule grouped_heads() {
  return {[](Fields& config, Keys& keys) {
            const std::int64_t heads = config.count("num_attention_heads");
            keys["num_attention_heads"] = heads;
            keys["num_kv_heads"] =
                config.has("num_key_value_heads") ? config.count("num_key_value_heads") : heads;
          },
          [](const Keys& keys, OrderedJson& config) {
            const std::int64_t heads = whole(keys, "num_attention_heads", 0);
            config["num_attention_heads"] = heads;
            config["num_key_value_heads"] = whole(keys, "num_kv_heads", heads);
          }};
}

Rule head_width(std::int64_t usual) {
  return {[=](Fields& config, Keys& keys) {
            const std::int64_t heads = whole(keys, "num_attention_heads", 1);
            const std::int64_t hidden = whole(keys, "hidden_size", 0);
            const std::int64_t quotient = hidden % heads == 0 ? hidden / heads : 0;
            const bool by_quotient = usual == 0 && !config.has("head_dim");
            const std::int64_t width = by_quotient ? quotient : config.count("head_dim", usual);
            if (width != quotient) keys["kv_channels"] = width;
          },
          [](const Keys& keys, OrderedJson& config) {
            const std::int64_t heads = whole(keys, "num_attention_heads", 1);
            const std::int64_t quotient = whole(keys, "hidden_size", 0) / heads;
            const std::int64_t width = whole(keys, "kv_channels", 0);
            config["head_dim"] = width > 0 ? width : quotient;
          }};
}

Rule dropouts(const std::string& attention, const std::string& hidden, double usual) {
  return {[=](Fields& config, Keys& keys) {
            keys["attention_dropout"] = config.number(attention, usual);
            if (!hidden.empty()) keys["hidden_dropout"] = config.number(hidden, usual);
          },
          [=](const Keys& keys, OrderedJson& config) {
            config[attention] = real(keys, "attention_dropout", 0);
            if (!hidden.empty()) config[hidden] = real(keys, "hidden_dropout", 0);
          }};
}

}  // namespace trireme::huggingface
