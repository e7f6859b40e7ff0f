// SPDX-License-Identifier: Apache-2.0
// What is said to a user who names something else as a deck.
#include "../../src/app/deck_files.hpp"

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

#include "../support/error_of.hpp"

using namespace trireme;

namespace {

std::string error(const std::string& file) {
  return test::error_of([&] { check_deck_files("train", {"my.yml", file}); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_setting_takes_set) {
  TRM_TEST_MENTIONS(error("lr=1e-3"), "trireme train DECK.yml --set 'lr=1e-3'");
  TRM_TEST_MENTIONS(error("optimizer.params.lr=1"), "--set 'optimizer.params.lr=1'");
}

BOOST_AUTO_TEST_CASE(a_text_takes_prepare) {
  for (const char* file : {"book.txt", "a/book.JSONL", "book.jsonl.gz"}) {
    TRM_TEST_MENTIONS(error(file), "trireme prepare --input");
  }
  TRM_TEST_MENTIONS(error("data/book.h5"), "--set data_path=data/book.h5");
}

BOOST_AUTO_TEST_CASE(decks_of_any_name_are_decks) {
  BOOST_CHECK_NO_THROW(check_deck_files(
      "plan", {"a.yml", "b.json", "deck", "lr=1e-3.yml", "runs/lr=3/deck.yml"}));
}
