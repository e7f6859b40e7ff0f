// SPDX-License-Identifier: Apache-2.0
// Keys of checkpoints: when to save, what to load.
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
     "folder for checkpoints; null: none",
     {},
     Need::open},
    {"load",
     "",
     [](D d) -> Field { return &d.deck.load; },
     "folder to resume from; null: start afresh",
     {},
     Need::open},
    {"checkpoint_factor", "save_interval",
     [](D d) -> Field { return &d.deck.checkpoint_factor; },
     "iterations between checkpoints; null: at the end only", kFromOne, Need::open},
    {"checkpoint_scale", "", [](D d) { return named(d.deck.checkpoint_scale, kScales); },
     "saves at the multiples of checkpoint_factor, or at its powers"},
    {"extra_save_iters", "", [](D d) -> Field { return &d.deck.extra_save_iters; },
     "further iterations to save after", kFromOne, Need::open},
    {"keep_last_n_checkpoints", "",
     [](D d) -> Field { return &d.deck.keep_last_n_checkpoints; },
     "older ones are removed; null: all are kept", kFromOne, Need::open},
    {"exit_interval", "", [](D d) -> Field { return &d.deck.exit_interval; },
     "saves and ends at its multiples, to go on in another run; null: never", kNotNegative,
     Need::open},
    {"no_save_optim", "", [](D d) -> Field { return &d.deck.no_save_optim; },
     "saves the weights alone, without the optimizer's state"},
    {"finetune", "", [](D d) -> Field { return &d.deck.finetune; },
     "loads the weights alone and starts at iteration 0"},
    {"no_load_optim", "", [](D d) -> Field { return &d.deck.no_load_optim; },
     "loads no optimizer state"},
    {"no_load_rng", "", [](D d) -> Field { return &d.deck.no_load_rng; },
     "takes the deck's seed where the checkpoint has another"},
    {"override_lr_scheduler", "", [](D d) -> Field { return &d.deck.override_lr_scheduler; },
     "takes the deck's learning rates where the checkpoint has others"},
    {"use_checkpoint_lr_scheduler", "",
     [](D d) -> Field { return &d.deck.use_checkpoint_lr_scheduler; },
     "takes the checkpoint's learning rates where the deck has others"},
    {"checkpoint.async", "", [](D d) -> Field { return &d.deck.checkpoint_async; },
     "writes while training goes on, from a copy in memory"},
    {"checkpoint.writers_per_node",
     "",
     [](D d) -> Field { return &d.deck.checkpoint_writers_per_node; },
     "ranks of a node that write, also for the others; 0: each for itself",
     {.low = 0, .high = 1e6}},
    {"checkpoint.stop_when_full", "",
     [](D d) -> Field { return &d.deck.checkpoint_stop_when_full; },
     "ends the run where a checkpoint finds no space"},
    {"checkpoint.time_limit_margin", "",
     [](D d) -> Field { return &d.deck.checkpoint_time_margin; },
     "seconds before the batch job's time limit to save and end; null: by what steps and saves "
     "took",
     kNotNegative, Need::open},
};

}  // namespace

std::span<const Key> checkpoint_keys() { return kCheckpointKeys; }

}  // namespace trireme::deck
