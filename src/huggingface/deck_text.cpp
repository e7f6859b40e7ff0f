// SPDX-License-Identifier: Apache-2.0
// Writes the deck for a folder.
#include "deck_text.hpp"

#include <algorithm>
#include <filesystem>

#include "trireme/huggingface/model_folder.hpp"

#include "adapter_folder.hpp"
#include "families/rules.hpp"
#include "weight_files.hpp"

namespace trireme::huggingface {

namespace {

/// Longer samples take much memory; the deck says how far the model goes.
constexpr std::int64_t kUsualLength = 2048;

std::string model_text(const ModelFacts& facts) {
  const std::int64_t most =
      whole(facts.keys, "max_position_embeddings", 0) - whole(facts.keys, "position_offset", 0);
  return fmt::format("{}seq_length: {}  # up to {}\n", yaml_of(facts.keys),
                     std::min(kUsualLength, most), most);
}

constexpr const char* kRun =
    "train_micro_batch_size_per_gpu: 1\n"
    "gradient_accumulation_steps: 8\n"
    "optimizer: {type: AdamW, params: {lr: 1.0e-5, betas: [0.9, 0.95]}}\n"
    "lr_decay_style: cosine\n"
    "min_lr: 1.0e-6\n"
    "warmup: 0.03\n"
    "train_iters: 1000\n";

/// A path as a text of YAML and JSON, in which read_deck() replaces nothing.
std::string quoted(const std::string& path) {
  std::string kept;
  for (const char c : path) {
    kept += c;
    if (c == '$') kept += c;
  }
  return Json(kept).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string tokenizer_text(const std::string& folder) {
  struct Kind {
    const char* file;
    const char* type;
    bool whole_folder;
  };
  for (const Kind& kind : {Kind{"tokenizer.json", "HFTokenizer", false},
                           Kind{"vocab.json", "HFGPT2Tokenizer", true},
                           Kind{"tokenizer.model", "SPMTokenizer", false}}) {
    const std::string path = fmt::format("{}/{}", folder, kind.file);
    if (!exists(path)) continue;
    return fmt::format("tokenizer_type: {}\nvocab_file: {}\n", kind.type,
                       quoted(kind.whole_folder ? folder : path));
  }
  return "# The folder has no tokenizer: name one in vocab_file, or the data do.\n";
}

std::string adapters_text(const std::string& folder, const ModelFacts& facts,
                          const Deck& deck) {
  const LoraConfig lora =
      AdapterWeights(read_adapter_config(folder), *facts.family, deck.model).lora();
  return fmt::format(
      "\n# Adapters beside the weights: what adapter_config.json says.\n"
      "lora: {{rank: {}, alpha: {}, dropout: {}, use_rslora: {}, targets: {}}}\n",
      lora.rank, lora.alpha, lora.dropout, lora.use_rslora, Json(lora.targets).dump());
}

}  // namespace

Deck deck_of(const ModelFacts& facts) {
  Deck deck = parse_deck(model_text(facts) + kRun,
                         fmt::format("the deck of a {} model", facts.family->model_type));
  resolve(deck, 1);
  return deck;
}

bool is_model_folder(const std::string& path) {
  return exists(path + "/config.json") || is_adapter_folder(path);
}

std::string deck_text(const std::string& folder) {
  const std::string base = base_of(folder);
  const ModelFacts facts = read_config(base);
  const Deck deck = deck_of(facts);
  const std::string named = Json(folder).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string text =
      fmt::format("# Trains on from the {} model in {}.\n", facts.family->model_type, named);
  text += "# Model: what config.json says.\n";
  text += model_text(facts);
  if (base != folder) text += adapters_text(folder, facts, deck);
  text += "\n# Weights: the folder's, onto any mesh.\n";
  text += fmt::format("load: {}\nfinetune: true\n", quoted(folder));
  text += "\n# Text: prepare data with --tokenizer, and name them here.\n";
  const std::string own = tokenizer_text(folder);
  text += own.starts_with('#') ? tokenizer_text(base) : own;
  text += "# data_path: data/my.h5\n";
  text += "\n# Run: change at will.\n";
  text += kRun;
  text += "# precision: bfloat16\n# save: runs/my\n";
  return text;
}

}  // namespace trireme::huggingface
