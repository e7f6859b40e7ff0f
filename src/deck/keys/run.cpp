// SPDX-License-Identifier: Apache-2.0
// Keys of the run: its length, log and folder.
#include "tables.hpp"

namespace trireme::deck {
namespace {

constexpr Choice kLogFormats[] = {
    {"text", code(DeckSettings::LogFormat::text)},
    {"json", code(DeckSettings::LogFormat::json)},
};

const Key kRunKeys[] = {
    {"include",
     "",
     [](D d) -> Field { return &d.include; },
     "decks that come before this deck, by path from its folder",
     {},
     Need::input,
     Origin::trireme},
    {"train_iters", "", [](D d) -> Field { return &d.deck.train_iters; }, "optimizer steps",
     kNotNegative, Need::required, Origin::megatron},
    {"seed", "", [](D d) -> Field { return &d.deck.seed; },
     "seed of weights, dropout and the order of samples", kNotNegative, Need::usual,
     Origin::megatron},
    {"eval_interval", "", [](D d) -> Field { return &d.deck.eval_interval; },
     "iterations between evaluations; 0: never", kNotNegative, Need::usual, Origin::megatron},
    {"eval_iters", "", [](D d) -> Field { return &d.deck.eval_iters; },
     "batches in an evaluation", kNotNegative, Need::usual, Origin::megatron},
    {"log_interval", "", [](D d) -> Field { return &d.deck.log_interval; },
     "iterations between lines of the log", kFromOne, Need::usual, Origin::megatron},
    {"log_format",
     "",
     [](D d) { return named(d.deck.log_format, kLogFormats); },
     "lines on the screen and in log.txt: for people, or each a JSON object",
     {},
     Need::usual,
     Origin::trireme},
    {"timeline_iters", "", [](D d) -> Field { return &d.deck.timeline_iters; },
     "iterations whose timeline of every rank metrics.h5 records; null: none", kFromOne,
     Need::open, Origin::trireme},
    {"tensorboard_dir",
     "",
     [](D d) -> Field { return &d.deck.tensorboard_dir; },
     "folder for TensorBoard's event files; null: none",
     {},
     Need::open,
     Origin::megatron},
    {"tensorboard.enabled",
     "",
     [](D d) -> Field { return &d.tensorboard.enabled; },
     "equivalent to tensorboard_dir: output_path/job_name (DeepSpeed)",
     {},
     Need::input,
     Origin::deepspeed},
    {"tensorboard.output_path",
     "",
     [](D d) -> Field { return &d.tensorboard.output_path; },
     "see tensorboard.enabled",
     {},
     Need::input,
     Origin::deepspeed},
    {"tensorboard.job_name",
     "",
     [](D d) -> Field { return &d.tensorboard.job_name; },
     "see tensorboard.enabled",
     {},
     Need::input,
     Origin::deepspeed},
    {"run_dir",
     "",
     [](D d) -> Field { return &d.deck.run_dir; },
     "folder for metrics, log, resolved deck and environment; null: the folder of save",
     {},
     Need::open,
     Origin::trireme},
};

}  // namespace

std::span<const Key> run_keys() { return kRunKeys; }

}  // namespace trireme::deck
