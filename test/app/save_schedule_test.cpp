// SPDX-License-Identifier: Apache-2.0
// Which iterations of a run save and which end the run.
#include "../../src/app/save_schedule.hpp"

#include <vector>

#include <boost/test/unit_test.hpp>

using namespace trireme;

namespace {

using Iterations = std::vector<std::int64_t>;

DeckSettings run_of(std::int64_t iterations) {
  DeckSettings deck;
  deck.train_iters = iterations;
  deck.save = "runs/a";
  return deck;
}

Iterations saves(const DeckSettings& deck) {
  Iterations due;
  for (std::int64_t i = 1; i <= deck.train_iters; ++i) {
    if (save_is_due(deck, i)) due.push_back(i);
  }
  return due;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(save_schedule)

BOOST_AUTO_TEST_CASE(the_last_iteration_always) {
  BOOST_CHECK((saves(run_of(10)) == Iterations{10}));
}

BOOST_AUTO_TEST_CASE(multiples) {
  DeckSettings deck = run_of(10);
  deck.checkpoint_factor = 4;
  BOOST_CHECK((saves(deck) == Iterations{4, 8, 10}));
  deck.checkpoint_factor = 1;
  BOOST_CHECK_EQUAL(saves(deck).size(), 10U);
  deck.checkpoint_factor = 11;
  BOOST_CHECK((saves(deck) == Iterations{10}));
}

BOOST_AUTO_TEST_CASE(powers) {
  DeckSettings deck = run_of(100);
  deck.checkpoint_scale = DeckSettings::CheckpointScale::log;
  deck.checkpoint_factor = 2;
  BOOST_CHECK((saves(deck) == Iterations{1, 2, 4, 8, 16, 32, 64, 100}));
  deck.checkpoint_factor = 6;
  BOOST_CHECK((saves(deck) == Iterations{1, 6, 36, 100}));
  deck.checkpoint_factor = 10;
  BOOST_CHECK((saves(deck) == Iterations{1, 10, 100}));
  BOOST_CHECK(save_is_due(deck, 1'000'000'000'000'000'000));
  BOOST_CHECK(!save_is_due(deck, 999'999'999'999'999'000));
  deck = run_of(20);
  deck.checkpoint_scale = DeckSettings::CheckpointScale::log;
  deck.checkpoint_factor = 1.5;
  BOOST_CHECK((saves(deck) == Iterations{1, 2, 3, 5, 7, 11, 17, 20}));
}

BOOST_AUTO_TEST_CASE(extra_iterations) {
  DeckSettings deck = run_of(10);
  deck.checkpoint_factor = 5;
  deck.extra_save_iters = {7, 5, 1, 70};
  BOOST_CHECK((saves(deck) == Iterations{1, 5, 7, 10}));
  BOOST_CHECK(!save_is_due(deck, 0));
  deck.exit_interval = 2;
  BOOST_CHECK(!save_is_due(deck, 0));
  deck.extra_save_iters = {0, 1, 2, 512};
  BOOST_CHECK(save_is_due(deck, 0));  // the initial weights
}

BOOST_AUTO_TEST_CASE(the_end_of_a_part) {
  DeckSettings deck = run_of(9);
  deck.checkpoint_factor = 4;
  deck.exit_interval = 3;
  BOOST_CHECK((saves(deck) == Iterations{3, 4, 6, 8, 9}));
  BOOST_CHECK(!exit_is_due(deck, 2));
  BOOST_CHECK(exit_is_due(deck, 3));
  BOOST_CHECK(exit_is_due(deck, 6));
  BOOST_CHECK(!exit_is_due(deck, 9));  // iteration 9 is the run's end
  deck.exit_interval = 0;
  BOOST_CHECK(!exit_is_due(deck, 3));
}

BOOST_AUTO_TEST_CASE(nothing_without_a_folder) {
  DeckSettings deck = run_of(10);
  deck.save.clear();
  deck.checkpoint_factor = 2;
  deck.extra_save_iters = {3};
  deck.exit_interval = 5;
  BOOST_CHECK(saves(deck).empty());
  BOOST_CHECK(exit_is_due(deck, 5));
}

BOOST_AUTO_TEST_SUITE_END()
