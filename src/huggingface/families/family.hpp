// SPDX-License-Identifier: Apache-2.0
// A family of published models, described once for both ways. Rules join config.json and deck
// keys, and names say which rows of which tensors make up a parameter.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../fields.hpp"

namespace trireme::huggingface {

/// Values of deck keys, by the keys' paths: "rope_scaling.factor".
using Keys = std::map<std::string, Json>;

/// Some fields of config.json, and the deck keys that they give.
struct Rule {
  std::function<void(Fields& config, Keys& keys)> read;
  std::function<void(const Keys& keys, OrderedJson& config)> write;
};

/// How a parameter's rows lie in the file's tensor of the same role.
enum class Layout : std::uint8_t {
  plain,        ///< the rows here
  transposed,   ///< a matrix of inputs × outputs
  heads,        ///< q, k and v apart: {} in the name stands for each letter
  words,        ///< likewise, and {} stands for query, key and value
  interleaved,  ///< likewise; rotary pairs of q and k are neighbours there and half a head
                ///< apart here
  concatenated  ///< all of q, then k, then v, in a matrix of inputs × outputs
};

/// "attention.dense" and "self_attn.o_proj": each stands for a weight and a bias. A rule of a
/// whole name, such as "embed_out.bias", goes before.
struct TensorRule {
  std::string_view here;
  std::string_view there;
  Layout layout = Layout::plain;
};

struct Family {
  std::string_view model_type;
  std::string_view architecture;
  /// Before the names of tensors; published files of the model without its head lack it.
  std::string_view base;
  std::string_view layers;       ///< after base: "layers."
  std::vector<TensorRule> ends;  ///< names there with base
  std::vector<TensorRule> layer;
  /// A classifier's pooler, which files may hold beside the model; empty: none.
  std::string_view pooler{};
  std::vector<std::string_view> buffers;  ///< ends of names of tensors that are no weights
  std::vector<Rule> rules;
  std::vector<std::string_view> without_effect;  ///< fields, beside those of every family
  std::string_view auto_class = "AutoModelForCausalLM";  ///< transformers' class that loads it
};

/// All families, the first that fits a model before others that fit it too.
[[nodiscard]] std::span<const Family> families();

[[nodiscard]] Family gpt_neox();
[[nodiscard]] Family gpt2();
[[nodiscard]] Family gptj();
[[nodiscard]] Family phi();
[[nodiscard]] Family llama();
[[nodiscard]] Family mistral();
[[nodiscard]] Family qwen2();
[[nodiscard]] Family qwen3();
[[nodiscard]] Family olmo2();
[[nodiscard]] Family gemma();
[[nodiscard]] Family gemma2();
[[nodiscard]] Family gemma3();
[[nodiscard]] Family bert();
[[nodiscard]] Family bert_classifier();
[[nodiscard]] Family roberta();
[[nodiscard]] Family xlm_roberta();
[[nodiscard]] Family distilbert();

}  // namespace trireme::huggingface
