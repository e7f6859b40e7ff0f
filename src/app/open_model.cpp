// SPDX-License-Identifier: Apache-2.0
// What a name stands for, on rank 0, and the model on all ranks.
#include "open_model.hpp"

#include <algorithm>
#include <filesystem>

#include "trireme/checkpoint/averaged_weights.hpp"
#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/deck/tree.hpp"
#include "trireme/huggingface/model_folder.hpp"

#include "deck_tokenizer.hpp"
#include "resume.hpp"
#include "run_files.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

/// What rank 0 finds out.
struct Found {
  std::string folder;  ///< where the weights are
  std::string deck;    ///< resolved, YAML
  KeptTokenizer tokenizer;
};

/// A model's folder, or the best checkpoint that can be opened.
std::string find_weights(const std::string& folder) {
  if (is_checkpoint(folder) || huggingface::is_model_folder(folder)) return folder;
  const Candidates candidates = find_checkpoints(folder);
  if (!candidates.note.empty()) log::warn("{}", candidates.note);
  std::string reasons;
  for (const std::string& path : candidates.paths) {
    const auto failure = failure_of([&] { CheckpointReader(path).check_files(); });
    if (!failure) {
      if (!reasons.empty()) log::warn("{} is taken instead{}", path, reasons);
      return path;
    }
    reasons += fmt::format("; {}", failure->what());
  }
  throw Error(
      fmt::format("{} holds no checkpoint that can be read, and is no Hugging Face model{}",
                  folder, reasons));
}

/// A deck whose batch fits any number of replicas. Inference has no batch of training.
Deck without_batch(Deck deck) {
  deck.train_batch_size = 0;
  deck.train_micro_batch_size_per_gpu = 1;
  deck.gradient_accumulation_steps = 1;
  stop_growth(deck);
  deck.zero = {};
  deck.ema = {};
  deck.cuda_graphs = false;
  return deck;
}

/// The deck of a checkpoint, for any number of ranks: nothing of the run's layout stays.
Deck without_layout(Deck deck) {
  deck.model_parallel_size = 1;
  deck.pipe_parallel_size = 1;
  deck.virtual_pipeline_chunks = 1;
  deck.sequence_parallel = false;
  return without_batch(std::move(deck));
}

Deck resolved(Deck deck, int ranks) {
  resolve(deck, ranks);
  return deck;
}

Deck deck_in(const std::string& folder) {
  if (huggingface::is_model_folder(folder)) return huggingface::ModelFolder(folder).deck();
  return deck_of(CheckpointReader(folder));
}

/// The deck of a folder with the overrides.
Deck deck_of_folder(const std::string& folder, const DeckSource& source, int ranks) {
  const Deck made_with = without_layout(deck_in(folder));
  return resolved(parse_deck(to_yaml(made_with), folder, source.overrides), ranks);
}

/// A deck of the command line, with what its checkpoint alone knows.
Deck deck_of_files(const DeckSource& source, int ranks, std::string& folder) {
  Deck deck = resolved(without_batch(read_deck(source.files, source.overrides)), ranks);
  const std::string& name = source.files.front();
  const bool saved = !deck.save.empty() && !find_checkpoints(deck.save).paths.empty();
  folder = saved || deck.load.empty() ? deck.save : deck.load;
  TRM_REQUIRE(
      !folder.empty(),
      "{} names no checkpoints: set load or save, or name a checkpoint's folder instead "
      "of the deck",
      name);
  std::error_code code;
  TRM_REQUIRE(fs::exists(folder, code), "{}: there is no checkpoint in {} yet: train first",
              name, folder);
  folder = find_weights(folder);
  const Deck made_with = deck_in(folder);
  if (deck.model.vocab_size == 0) deck.model.vocab_size = made_with.model.vocab_size;
  if (deck.end_of_document < 0) deck.end_of_document = made_with.end_of_document;
  if (huggingface::is_model_folder(folder)) {
    check_model_folder(folder, deck);
  } else {
    require_same_model(folder, made_with, deck);
    require_same_adapters(folder, made_with, deck);
  }
  return deck;
}

/// The tokenizer that the overrides name, or else the checkpoint's, or else the deck's.
KeptTokenizer tokenizer_for(const std::string& folder, const Deck& deck,
                            const DeckSource& source) {
  const bool named = std::ranges::any_of(source.overrides, [](const std::string& text) {
    const std::string key = deck::with_underscores(text.substr(0, text.find('=')));
    return key == "vocab_file" || key == "tokenizer_type";
  });
  if (named) {
    std::unique_ptr<Tokenizer> tokenizer;
    const auto failure = failure_of([&] { tokenizer = open_deck_tokenizer(deck); });
    if (failure) {
      throw failure->saying(
          fmt::format("vocab_file: {}: {}", deck.vocab_file, failure->what()));
    }
    if (tokenizer != nullptr) return {tokenizer->kind(), tokenizer->definition()};
  } else if (!huggingface::is_model_folder(folder)) {
    const RunState state = CheckpointReader(folder).state();
    if (!state.tokenizer_kind.empty()) {
      return {state.tokenizer_kind, state.tokenizer_definition};
    }
  }
  const auto tokenizer = find_tokenizer(deck);
  if (tokenizer == nullptr) return {};
  return {tokenizer->kind(), tokenizer->definition()};
}

Found find(const DeckSource& source, int ranks) {
  const std::string& name = source.files.front();
  Found found;
  Deck deck;
  std::error_code code;
  TRM_REQUIRE(fs::exists(name, code), "there is no deck or folder {}", name);
  if (fs::is_directory(name, code)) {
    TRM_REQUIRE(source.files.size() == 1, "{} is a folder: name it alone", name);
    const auto run = last_deck(name);  // its checkpoints may lie elsewhere
    const bool elsewhere = run && !run->save.empty() && !is_checkpoint(name) &&
                           find_checkpoints(name).paths.empty();
    found.folder = find_weights(elsewhere ? run->save : name);
    deck = deck_of_folder(found.folder, source, ranks);
  } else {
    deck = deck_of_files(source, ranks, found.folder);
  }
  for (const std::string& w : deck.warnings) log::warn("{}", w);
  found.tokenizer = tokenizer_for(found.folder, deck, source);
  found.deck = to_yaml(deck);
  return found;
}

}  // namespace

OpenedModel open_model(const DeckSource& source, Communicator& world, bool averages) {
  Found found = collectively(
      world, [&] { return world.rank() == 0 ? find(source, world.size()) : Found{}; });
  for (std::string* text :
       {&found.folder, &found.deck, &found.tokenizer.kind, &found.tokenizer.definition}) {
    *text = world.broadcast_text(*text, 0);
  }
  OpenedModel model;
  model.deck = resolved(parse_deck(found.deck, "the resolved deck"), world.size());
  const Task task = model.deck.model.task;
  if (task != Task::language_model) {
    Error error(fmt::format(
        "{}: this model {}, and writes and judges no text; train with train_iters: 0 and load "
        "evaluates it",
        found.folder,
        task == Task::masked_language_model     ? "finds masked tokens"
        : task == Task::sequence_classification ? "classifies texts"
                                                : "classifies images"));
    throw error.set_everywhere();
  }
  model.folder = found.folder;
  collectively(world, [&] {
    if (huggingface::is_model_folder(found.folder)) {
      model.weights = std::make_unique<huggingface::ModelFolder>(found.folder);
    } else {
      model.weights = std::make_unique<CheckpointReader>(found.folder);
    }
    if (averages) {
      model.under = std::move(model.weights);
      model.weights = std::make_unique<AveragedWeights>(*model.under, found.folder);
    }
    if (!found.tokenizer.kind.empty()) {
      model.tokenizer = make_tokenizer(found.tokenizer.kind, found.tokenizer.definition);
    }
  });
  return model;
}

const Tokenizer& require_tokenizer(const OpenedModel& model) {
  if (model.tokenizer == nullptr) {
    Error error(
        fmt::format("no tokenizer is known for {}: neither checkpoint nor deck nor data name "
                    "one. Add --set "
                    "vocab_file=FILE with the tokenizer's file or folder",
                    model.folder));
    throw error.set_everywhere();
  }
  return *model.tokenizer;
}

}  // namespace trireme
