// SPDX-License-Identifier: Apache-2.0
// Finds out where each value of a resolved deck came from.
#include "trireme/deck/show.hpp"

#include <algorithm>

#include "trireme/deck/keys.hpp"

#include "schema.hpp"

namespace trireme {
namespace {

/// How a key that no deck gives can follow from others.
struct Derivation {
  std::string_view path;
  std::string_view inputs;  ///< keys that give the value, separated by spaces; may be given
  std::string_view rule;    ///< what holds if none of them is given
};

constexpr Derivation kDerivations[] = {
    {"num_kv_heads", "", "= num_attention_heads"},
    {"max_position_embeddings", "", "= seq_length + position_offset"},
    {"intermediate_size", "expansion_factor mlp_multiple_of", "= 4 × hidden_size"},
    {"use_bias_in_norms", "", "rmsnorm has no bias"},
    {"use_bias_in_qkv", "use_bias_in_attn_linear", "= use_bias_in_attn_linear"},
    {"lr_decay_iters", "lr_decay_fraction", "= train_iters"},
    {"lr_decay_samples", "lr_decay_fraction", "= train_samples"},
    {"train_iters", "train_samples", ""},
    {"train_batch_size", "",
     "= train_micro_batch_size_per_gpu × gradient_accumulation_steps × dp"},
    {"train_micro_batch_size_per_gpu", "",
     "= train_batch_size / (gradient_accumulation_steps × dp)"},
    {"gradient_accumulation_steps", "",
     "= train_batch_size / (train_micro_batch_size_per_gpu × dp)"},
    {"pipe_parallel_size", "", "0 and 1 both mean no pipeline"},
    {"precision", "fp16.enabled fp16.type bf16.enabled", ""},
    {"data_types.grad_accum_dtype",
     "fp16.fp16_master_weights_and_grads bf16.bf16_master_weights_and_grads", ""},
    {"communication_data_type", "fp32_allreduce precision fp16.enabled", "= precision"},
    {"checkpoint.async", "zero_optimization.offload_optimizer.device", ""},
    {"zero_optimization.offload_optimizer.device", "zero_optimization.cpu_offload", ""},
    {"tensorboard_dir", "tensorboard.output_path tensorboard.job_name tensorboard.enabled", ""},
    {"scheduler.params.warmup_max_lr", "optimizer.params.lr", "DeepSpeed's default"},
    {"scheduler.params.total_num_steps", "", "= train_iters"},
    {"scheduler.params.warmup_num_steps", "warmup", ""},
    {"vocab_size", "", "from the data"},
    {"num_labels", "", "from the data"},
    {"task", "mlp_sizes", ""},
    {"end_of_document", "", "from the data"},
};

/// Keys that change a given value.
struct Modifier {
  std::string_view path;
  std::string_view by;
};
constexpr Modifier kModifiers[] = {
    {"intermediate_size", "mlp_multiple_of"},
    {"load", "iteration"},
};

std::string quoted_source(const Deck& deck, const std::string& path) {
  return fmt::format("{} ({})", path, deck.sources.at(path));
}

std::string derived(const Deck& deck, const Derivation& d) {
  std::vector<std::string> from;
  for (const std::string& input : deck::split_words(d.inputs)) {
    if (deck.sources.contains(input)) from.push_back(quoted_source(deck, input));
  }
  if (from.empty()) {
    return fmt::format("derived: {}", d.rule.empty() ? "from other keys" : d.rule);
  }
  return fmt::format("derived from {}", fmt::join(from, ", "));
}

}  // namespace

std::string source_of(const Deck& deck, const std::string& path) {
  const auto given = deck.sources.find(path);
  if (given != deck.sources.end()) {
    std::string text = given->second;
    for (const Modifier& m : kModifiers) {
      const std::string by(m.by);
      if (m.path == path && deck.sources.contains(by)) {
        text += ", with " + quoted_source(deck, by);
      }
    }
    if (path == "intermediate_size" && gated(deck.model.activation)) {
      text += fmt::format("; inner width {}", deck.model.mlp_inner());
    }
    return text;
  }
  const deck::Meaning* meaning = deck::Schema::instance().find(path);
  TRM_CHECK(meaning != nullptr && meaning->key != nullptr, "{} is no key", path);
  deck::Draft usual;
  deck::Draft now = deck::unfold(deck);
  const bool is_default =
      deck::field_text(*meaning->key, usual) == deck::field_text(*meaning->key, now);
  const auto rule = std::ranges::find(kDerivations, path, &Derivation::path);
  if (!is_default && rule != std::end(kDerivations)) return derived(deck, *rule);
  return is_default ? fmt::format("default of {}", name_of(meaning->key->origin))
                    : "derived from other keys";
}

}  // namespace trireme
