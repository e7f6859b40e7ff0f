// SPDX-License-Identifier: Apache-2.0
// Tries checkpoints in turn, until one can be read.
#include "restore.hpp"

#include <optional>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/huggingface/model_folder.hpp"
#include "trireme/model/trained.hpp"

#include "changes.hpp"
#include "run_beginning.hpp"

namespace trireme {

namespace {

/// Logs how many adapters the weights lacked, and so begin with new values.
void report_adapters(const Deck& deck, const WeightSource& source) {
  std::int64_t all = 0;
  std::int64_t lacking = 0;
  visit_model(deck.model, [&](int, const Parameter& p) {
    if (p.role != ParameterRole::adapter) return;
    ++all;
    if (!source.has("model/" + p.name)) ++lacking;
  });
  if (lacking == 0) return;
  log::info(
      "         {} of {} adapter matrices are not in these weights and begin anew: A at "
      "random, B at zero",
      lacking, all);
}

/// Logs which parts of a classifier the weights lack.
void report_classifier(const Deck& deck, const WeightSource& source) {
  std::vector<std::string> lacking;
  visit_model(deck.model, [&](int, const Parameter& p) {
    const bool is_new = p.role == ParameterRole::classifier && !source.has("model/" + p.name);
    if (is_new) lacking.push_back(p.name);
  });
  if (lacking.empty()) return;
  log::info("         {} are not in these weights and begin anew", fmt::join(lacking, ", "));
}

/// Returns no position if the checkpoint turned out to be damaged; `source` is informed.
std::optional<RunPosition> load(const Deck& deck, LoadSource& source, Communicator& world,
                                Trainer& trainer, const std::string& folder,
                                bool began_earlier) {
  const bool finetune = deck.finetune && !began_earlier;
  const bool no_optimizer = deck.no_load_optim && !began_earlier;
  std::optional<CheckpointReader> reader;
  try {
    collectively(world, [&] { reader.emplace(folder); });
    const bool with_optimizer = !no_optimizer && !finetune;
    trainer.load(*reader, with_optimizer, reader->state().optimizer_steps);
    const std::string bad = trainer.first_bad_state(with_optimizer);
    if (!bad.empty()) {
      Error error(fmt::format("{}: not finite: {}", folder, bad));
      throw error.set_everywhere();
    }
  } catch (const Error& e) {
    if (!e.everywhere()) throw;
    require_damage(e);
    collectively(world, [&] {
      if (world.rank() == 0) source.refuse(e.what());
    });
    return std::nullopt;
  }
  const RunState& state = reader->state();
  const KeptTokenizer tokenizer{state.tokenizer_kind, state.tokenizer_definition};
  if (finetune) {
    log::info("finetune the weights of {}", folder);
    report_adapters(deck, *reader);
    report_classifier(deck, *reader);
    return RunPosition{.tokenizer = tokenizer, .began = {deck.load, true}};
  }
  trainer.restore_loss_scale({state.loss_scale, state.clean_steps, state.hysteresis});
  log::info("resume   {} at iteration {}{}{}", folder, state.iteration,
            no_optimizer ? ", with a new optimizer state" : "",
            began_earlier ? fmt::format(" (this run began with load: {})", deck.load) : "");
  RunPosition at{.iteration = state.iteration,
                 .samples = state.samples_consumed,
                 .checkpoint = folder,
                 .tokenizer = tokenizer};
  if (world.rank() == 0) {
    at.changes = changes_since(state, deck_of(*reader), deck);
    at.began = is_within(folder, deck.save) ? beginning_of(*reader)
                                            : RunBeginning{deck.load, deck.finetune};
  }
  if (!at.changes.empty()) {
    log::info("         since {}: {}", checkpoint_name(state.iteration), at.changes);
  }
  return at;
}

/// Takes the weights of a Hugging Face model.
RunPosition load_model(const Deck& deck, const std::string& folder, Communicator& world,
                       Trainer& trainer) {
  std::optional<huggingface::ModelFolder> source;
  collectively(world, [&] { source.emplace(folder); });
  trainer.load(*source, false, 0);
  const std::string bad = trainer.first_bad_state(false);
  if (!bad.empty()) {
    Error error(fmt::format("{}: not finite: {}", folder, bad));
    throw error.set_everywhere();
  }
  log::info("finetune the {} model in {}", source->model_type(), folder);
  report_adapters(deck, *source);
  report_classifier(deck, *source);
  return {.began = {deck.load, deck.finetune}};
}

}  // namespace

RunPosition restore(const Deck& deck, LoadSource& source, Communicator& world,
                    Trainer& trainer) {
  const bool began_earlier =
      world.reduce_count(source.began_earlier() ? 1 : 0, Reduction::max) != 0;
  Deck checked = deck;  // rank 0's deck, for the checks
  for (;;) {
    const std::string found = collectively(
        world, [&] { return world.rank() == 0 ? source.next(checked).value_or("") : ""; });
    const std::string folder = world.broadcast_text(found, 0);
    if (folder.empty()) {
      if (!deck.load.empty()) log::info("resume   no checkpoint in {} yet", deck.load);
      return {.began = {deck.load, deck.finetune}};
    }
    if (huggingface::is_model_folder(folder)) return load_model(deck, folder, world, trainer);
    if (const auto loaded = load(deck, source, world, trainer, folder, began_earlier)) {
      return *loaded;
    }
  }
}

}  // namespace trireme
