// SPDX-License-Identifier: Apache-2.0
// Writes a model as a folder that Hugging Face transformers loads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme::huggingface {

/// The tokenizer that goes with the weights, as make_tokenizer() takes it. The definition of
/// the kind "hugging-face" is written as tokenizer.json, and so is the kind "bytes". For other
/// kinds a file is copied.
struct TokenizerToWrite {
  std::string kind;  ///< empty: not known
  std::string definition{};
  /// A file or a folder that holds this same tokenizer; empty: there is none.
  std::string file{};
};

struct ExportOptions {
  std::string to;                           ///< the folder to make
  std::string model_type{};                 ///< "llama"; empty: the first type that fits
  std::optional<DType> type{};              ///< type of every tensor; none: the embedding's
  std::int64_t most_bytes = 5'000'000'000;  ///< most bytes in a file
  std::string origin{};                     ///< what the model card calls the source
  std::function<void(std::int64_t bytes)> progress = {};
};

struct Exported {
  std::string model_type;
  DType type = DType::f32;
  bool tokenizer = false;  ///< whether tokenizer files stand in the folder
};

/// Writes weights, config.json, generation_config.json, the tokenizer's files and a model card.
/// The folder gets its name when all is written. Masters are the source of weights, where there
/// are any. Throws Error if the folder exists, or if no type of model is what the deck
/// describes. Leaves nothing behind an error.
Exported write_model_folder(WeightSource& source, const Deck& deck,
                            const TokenizerToWrite& tokenizer, const ExportOptions& options);

}  // namespace trireme::huggingface
