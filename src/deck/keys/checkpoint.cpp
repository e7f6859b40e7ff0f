// SPDX-License-Identifier: Apache-2.0
// Keys of checkpoints: when to save, and what to load.
#include "tables.hpp"

namespace trireme::deck {
namespace {

constexpr Choice kScales[] = {
    {"linear", code(DeckSettings::CheckpointScale::linear)},
    {"log", code(DeckSettings::CheckpointScale::log)},
};

const Key kCheckpointKeys[] = {
    {"save",
     "",
     [](D d) -> Field { return &d.deck.save; },
     "folder for checkpoints; null: save none",
     {},
     Need::open},
    {"load",
     "",
     [](D d) -> Field { return &d.deck.load; },
     "folder to resume from; null: start without a checkpoint",
     {},
     Need::open},
    {"overwrite",
     "",
     [](D d) -> Field { return &d.overwrite; },
     "where save, run_dir or tensorboard_dir hold another run's files, move these into "
     "FOLDER/before-DATE; otherwise such a start is an error",
     {},
     Need::input},
    {"checkpoint_factor", "save_interval",
     [](D d) -> Field { return &d.deck.checkpoint_factor; },
     "iterations between checkpoints; null: save at the end only", kFromOne, Need::open},
    {"checkpoint_scale", "", [](D d) { return named(d.deck.checkpoint_scale, kScales); },
     "save at multiples (linear) or powers (log) of checkpoint_factor"},
    {"extra_save_iters", "", [](D d) -> Field { return &d.deck.extra_save_iters; },
     "more iterations after which to save", kFromOne, Need::open},
    {"keep_last_n_checkpoints", "",
     [](D d) -> Field { return &d.deck.keep_last_n_checkpoints; },
     "number of checkpoints to keep; older ones are removed; null: keep all", kFromOne,
     Need::open},
    {"exit_interval", "", [](D d) -> Field { return &d.deck.exit_interval; },
     "save and end at each multiple of this; the next run resumes; null: never", kNotNegative,
     Need::open},
    {"no_save_optim", "", [](D d) -> Field { return &d.deck.no_save_optim; },
     "save the weights alone, without the optimizer's state"},
    {"finetune", "", [](D d) -> Field { return &d.deck.finetune; },
     "load the weights alone, and start at iteration 0"},
    {"no_load_optim", "", [](D d) -> Field { return &d.deck.no_load_optim; },
     "load no optimizer state"},
    {"no_load_rng", "", [](D d) -> Field { return &d.deck.no_load_rng; },
     "use the deck's seed even if the checkpoint's differs"},
    {"override_lr_scheduler", "", [](D d) -> Field { return &d.deck.override_lr_scheduler; },
     "use the deck's learning rates even if the checkpoint's differ"},
    {"use_checkpoint_lr_scheduler", "",
     [](D d) -> Field { return &d.deck.use_checkpoint_lr_scheduler; },
     "use the checkpoint's learning rates even if the deck's differ"},
    {"checkpoint.async", "", [](D d) -> Field { return &d.deck.checkpoint_async; },
     "write from a copy in memory while training goes on"},
    {"checkpoint.writers_per_node",
     "",
     [](D d) -> Field { return &d.deck.checkpoint_writers_per_node; },
     "ranks on each node that write, also for the node's other ranks; 0: every rank writes",
     {.low = 0, .high = 1e6}},
    {"checkpoint.stop_when_full", "",
     [](D d) -> Field { return &d.deck.checkpoint_stop_when_full; },
     "end the run when a checkpoint finds no space"},
    {"checkpoint.time_limit_margin", "",
     [](D d) -> Field { return &d.deck.checkpoint_time_margin; },
     "seconds before the batch job's time limit at which to save and end; null: measured from "
     "steps and saves",
     kNotNegative, Need::open},
};

}  // namespace

std::span<const Key> checkpoint_keys() { return kCheckpointKeys; }

}  // namespace trireme::deck
