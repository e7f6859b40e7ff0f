// SPDX-License-Identifier: Apache-2.0
// Keys of the data: token files, and how they are split.
#include "tables.hpp"

namespace trireme::deck {
namespace {

const Key kDataKeys[] = {
    {"data_path",
     "",
     [](D d) -> Field { return &d.deck.data_path; },
     "one or more token files, divided by split into train, valid and test",
     {},
     Need::open,
     Origin::megatron},
    {"split",
     "",
     [](D d) -> Field { return &d.deck.split; },
     "shares of train, valid and test documents; left out: \"969, 30, 1\", without parts whose "
     "share is less than a batch",
     {},
     Need::open,
     Origin::megatron},
    {"train_data_paths",
     "",
     [](D d) -> Field { return &d.deck.train_data_paths; },
     "token files to train on, instead of data_path",
     {},
     Need::open},
    {"valid_data_paths",
     "",
     [](D d) -> Field { return &d.deck.valid_data_paths; },
     "token files",
     {},
     Need::open},
    {"test_data_paths",
     "",
     [](D d) -> Field { return &d.deck.test_data_paths; },
     "token files",
     {},
     Need::open},
    {"train_data_weights", "", [](D d) -> Field { return &d.deck.train_data_weights; },
     "share of each file; null: by size", kNotNegative, Need::open},
    {"valid_data_weights", "", [](D d) -> Field { return &d.deck.valid_data_weights; },
     "share of each file; null: by size", kNotNegative, Need::open},
    {"test_data_weights", "", [](D d) -> Field { return &d.deck.test_data_weights; },
     "share of each file; null: by size", kNotNegative, Need::open},
};

}  // namespace

std::span<const Key> data_keys() { return kDataKeys; }

}  // namespace trireme::deck
