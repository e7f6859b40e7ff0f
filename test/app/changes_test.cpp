// SPDX-License-Identifier: Apache-2.0
// What a resume says of changed settings, and the batch size that a run keeps.
#include "../../src/app/changes.hpp"

#include <limits>

#include <boost/test/unit_test.hpp>

#include "trireme/host/build_info.hpp"

#include "../support/error_of.hpp"

using namespace trireme;

namespace {

constexpr const char* kModel =
    "{num_layers: 1, hidden_size: 8, num_attention_heads: 1, seq_length: 8, vocab_size: 9, "
    "train_iters: 10, lr: 1.0e-3, ";

Deck deck_on(int ranks, const std::string& more) {
  Deck deck = parse_deck(kModel + more + "}", "deck");
  resolve(deck, ranks);
  return deck;
}

RunState state_now() {
  RunState state;
  state.version = kVersion;
  return state;
}

std::string changes(const Deck& then, const Deck& now) {
  return changes_since(state_now(), then, now);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(changes_of_decks)

BOOST_AUTO_TEST_CASE(one_text_names_all_differences) {
  const Deck then = deck_on(4, "train_batch_size: 8, weight_decay: 0.1");
  const Deck now = deck_on(2,
                           "train_batch_size: 8, weight_decay: 0, precision: bfloat16, "
                           "gradient_accumulation_steps: 2, load: a, save: b");
  BOOST_CHECK_EQUAL(changes(then, now),
                    "gradient_accumulation_steps 1 → 2, weight_decay 0.1 → 0, precision fp32 → "
                    "bfloat16, save null → \"b\", 4 → 2 ranks");
  RunState older = state_now();
  older.version = "0.0.1";
  BOOST_CHECK_EQUAL(changes_since(older, then, then),
                    fmt::format("version 0.0.1 → {}", kVersion));
}

BOOST_AUTO_TEST_CASE(spelling_is_no_difference) {
  const Deck a = deck_on(1, "train_batch_size: 1, split: '97, 2, 1', data_path: [./x/../y.h5]");
  const Deck b =
      deck_on(1, "train_batch_size: 1, split: '0.97, 0.02, 0.01', data_path: [y.h5]");
  BOOST_CHECK_EQUAL(changes(a, b), "");
  BOOST_CHECK_EQUAL(changes(a, deck_on(1,
                                       "train_batch_size: 1, split: '96, 3, 1', "
                                       "data_path: [y.h5]")),
                    "split \"97, 2, 1\" → \"96, 3, 1\"");
  BOOST_TEST(same_value("save", "runs/a/", "./runs/a"));
  BOOST_TEST(!same_value("save", "null", "./runs/a"));
  BOOST_TEST(!same_value("seed", "1", "01"));
}

BOOST_AUTO_TEST_CASE(a_derived_batch_stays_on_another_number_of_ranks) {
  const Deck then = deck_on(4, "train_micro_batch_size_per_gpu: 2");
  BOOST_CHECK_EQUAL(then.train_batch_size, 8);
  Deck fewer = deck_on(2, "train_micro_batch_size_per_gpu: 2");
  BOOST_TEST(keep_batch_size("c", then, fewer));
  BOOST_CHECK_EQUAL(fewer.train_batch_size, 8);
  BOOST_CHECK_EQUAL(fewer.gradient_accumulation_steps, 2);
  resolve(fewer, 2);  // the settings agree
  Deck same = deck_on(4, "train_micro_batch_size_per_gpu: 2");
  BOOST_TEST(!keep_batch_size("c", then, same));
  Deck asked = deck_on(2, "train_micro_batch_size_per_gpu: 2, train_batch_size: 4");
  BOOST_TEST(!keep_batch_size("c", then, asked));
  BOOST_CHECK_EQUAL(asked.train_batch_size, 4);
}

BOOST_AUTO_TEST_CASE(a_batch_that_cannot_stay_is_refused) {
  const Deck then = deck_on(4, "train_micro_batch_size_per_gpu: 2");
  for (const auto& [ranks, more] : std::vector<std::pair<int, std::string>>{
           {3, ""}, {8, ""}, {2, ", gradient_accumulation_steps: 1"}}) {
    Deck deck = deck_on(ranks, "train_micro_batch_size_per_gpu: 2" + more);
    const std::int64_t derived = deck.train_batch_size;
    const std::string error =
        test::error_of([&] { keep_batch_size("c/global_step5", then, deck); });
    for (const std::string& words :
         {std::string("c/global_step5"), std::string("train_batch_size: 8 to keep"),
          fmt::format("train_batch_size: {} to change", derived)}) {
      TRM_TEST_MENTIONS(error, words);
    }
    BOOST_CHECK_EQUAL(deck.train_batch_size, derived);
  }
}

BOOST_AUTO_TEST_CASE(counts_that_would_overflow_are_refused) {
  const Deck deck = deck_on(1, "train_batch_size: 4");
  RunState state = state_now();
  state.iteration = 5;
  state.samples_consumed = 20;
  require_countable("c", state, deck);
  state.samples_consumed = std::numeric_limits<std::int64_t>::max() / 8 - 19;
  TRM_TEST_MENTIONS(test::error_of([&] { require_countable("c", state, deck); }),
                    "more iterations would exceed what can be counted");
}

BOOST_AUTO_TEST_SUITE_END()
