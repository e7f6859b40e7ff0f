// SPDX-License-Identifier: Apache-2.0
// Keys of fine-tuning: which parameters train, at which rate, and adapters.
#include "tables.hpp"

namespace trireme::deck {
namespace {

const Key kTuningKeys[] = {
    {"train_only",
     "",
     [](D d) -> Field { return &d.deck.model.train_only; },
     "regular expressions (RE2): only parameters in whose names one is found train; with lora, "
     "these train besides the adapters",
     {},
     Need::open,
     Origin::trireme},
    {"freeze",
     "",
     [](D d) -> Field { return &d.deck.model.freeze; },
     "regular expressions (RE2): parameters in whose names one is found keep their values",
     {},
     Need::open,
     Origin::trireme},
    {"lr_groups",
     "",
     [](D d) -> Field { return &d.deck.optimizer.lr_groups; },
     "{match: REGEX, lr_scale: factor on lr, weight_decay: instead of the "
     "deck's} of parameters by name; the first that matches holds",
     {},
     Need::open,
     Origin::trireme},
    {"lora.rank",
     "",
     [](D d) -> Field { return &d.deck.model.lora.rank; },
     "rank of low-rank adapters, which then train alone; 0: no adapters",
     {.low = 0, .high = 1e6},
     Need::usual,
     Origin::trireme},
    {"lora.alpha", "", [](D d) -> Field { return &d.deck.model.lora.alpha; },
     "an adapter's output counts alpha / rank times", kPositive, Need::usual, Origin::trireme},
    {"lora.dropout", "", [](D d) -> Field { return &d.deck.model.lora.dropout; },
     "dropout of an adapter's input", kBelowOne, Need::usual, Origin::trireme},
    {"lora.targets",
     "",
     [](D d) -> Field { return &d.deck.model.lora.targets; },
     "names of matrices that have adapters, such as dense, or regular expressions (RE2) that "
     "match a name whole; null: all matrices of layers",
     {},
     Need::open,
     Origin::trireme},
    {"lora.use_rslora",
     "",
     [](D d) -> Field { return &d.deck.model.lora.use_rslora; },
     "an adapter's output counts alpha / √rank times",
     {},
     Need::usual,
     Origin::trireme},
};

}  // namespace

std::span<const Key> tuning_keys() { return kTuningKeys; }

}  // namespace trireme::deck
