// SPDX-License-Identifier: Apache-2.0
// The split of a deck that names none, by the size of the corpus.
#include "../../src/app/inputs.hpp"

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"

#include "../data/make_token_file.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

/// A resolved deck over a file of documents of ten tokens; `split` may be empty.
Deck deck_of(const test::TemporaryFolder& folder, int documents, const std::string& split) {
  const std::vector<std::vector<std::int32_t>> texts(static_cast<std::size_t>(documents),
                                                     std::vector<std::int32_t>(9, 65));
  const std::string path = folder / "tokens.h5";
  test::make_token_file(path, texts, 257);
  std::string text =
      "num_layers: 1\nhidden_size: 8\nnum_attention_heads: 1\nseq_length: 4\n"
      "train_micro_batch_size_per_gpu: 2\ntrain_iters: 1\nlr: 1e-3\npos_emb: rotary\n"
      "data_path: " +
      path + "\n";
  if (!split.empty()) text += "split: \"" + split + "\"\n";
  Deck deck = parse_deck(text, "deck.yml");
  resolve(deck, 1);
  return deck;
}

/// The split with which the run starts.
std::string chosen(int documents, const std::string& split = {}) {
  const test::TemporaryFolder folder;
  Deck deck = deck_of(folder, documents, split);
  (void)check_data(deck);
  return deck.split;
}

struct Logging {
  Logging() { log::start(0, "here"); }
};

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(Logging);

BOOST_AUTO_TEST_CASE(a_large_corpus_has_all_parts) {
  BOOST_TEST(chosen(1000) == kDefaultSplit);
}

BOOST_AUTO_TEST_CASE(a_smaller_corpus_has_the_parts_that_suffice) {
  BOOST_TEST(chosen(420) == "969, 31, 0");
  BOOST_TEST(chosen(15) == "1000, 0, 0");
}

BOOST_AUTO_TEST_CASE(the_chosen_split_stays_what_it_is) {
  BOOST_TEST(chosen(420, "969, 31, 0") == "969, 31, 0");
}

BOOST_AUTO_TEST_CASE(a_named_part_without_a_document_is_left_out_as_in_neox) {
  const test::TemporaryFolder folder;
  Deck deck = deck_of(folder, 420, "969, 30, 1");
  (void)check_data(deck);
  BOOST_TEST(open_samples(deck, Part::valid, DocumentCheck::none).has_value());
  BOOST_TEST(!open_samples(deck, Part::test, DocumentCheck::none).has_value());
}

BOOST_AUTO_TEST_CASE(a_named_part_with_too_little_data_is_an_error) {
  const test::TemporaryFolder folder;
  Deck deck = deck_of(folder, 200, "97, 2, 1");
  deck.train_batch_size = 8;
  const std::string error = test::error_of([&] { (void)check_data(deck); });
  TRM_TEST_MENTIONS(error, "200 documents × 1/100 = 2; use split: \"90, 5, 5\"");
}
