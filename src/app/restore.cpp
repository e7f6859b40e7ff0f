// SPDX-License-Identifier: Apache-2.0
// Tries checkpoints in turn, until one can be read.
#include "restore.hpp"

#include <optional>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"

namespace trireme {

namespace {

/// Returns no position if the checkpoint turned out to be damaged; `source` is informed.
std::optional<RunPosition> load(const Deck& deck, LoadSource& source, Communicator& world,
                                Trainer& trainer, const std::string& folder,
                                bool began_earlier) {
  const bool finetune = deck.finetune && !began_earlier;
  const bool no_optimizer = deck.no_load_optim && !began_earlier;
  std::optional<CheckpointReader> reader;
  try {
    collectively(world, [&] { reader.emplace(folder); });
    trainer.load(*reader, !no_optimizer && !finetune, reader->state().optimizer_steps);
  } catch (const Error& e) {
    if (!e.everywhere()) throw;
    require_damage(e);
    collectively(world, [&] {
      if (world.rank() == 0) source.refuse(e.what());
    });
    return std::nullopt;
  }
  if (finetune) {
    log::info("finetune the weights of {}", folder);
    return RunPosition{};
  }
  const RunState& state = reader->state();
  trainer.restore_loss_scale({state.loss_scale, state.clean_steps, state.hysteresis});
  log::info("resume   {} at iteration {}{}{}", folder, state.iteration,
            no_optimizer ? ", with a new optimizer state" : "",
            began_earlier ? fmt::format(" (this run began with load: {})", deck.load) : "");
  return RunPosition{state.iteration, state.samples_consumed};
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
      return {};
    }
    if (const auto loaded = load(deck, source, world, trainer, folder, began_earlier)) {
      return *loaded;
    }
  }
}

}  // namespace trireme
