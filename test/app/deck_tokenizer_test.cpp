// SPDX-License-Identifier: Apache-2.0
// What data without a vocabulary take from the deck's tokenizer.
#include "../../src/app/deck_tokenizer.hpp"

#include <fstream>

#include <boost/test/unit_test.hpp>

#include "trireme/data/megatron_file.hpp"

#include "../../src/app/inputs.hpp"
#include "../data/make_token_file.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme;

namespace {

constexpr std::int32_t kEnd = 5;

std::string write(const test::TemporaryFolder& folder, const std::string& name,
                  const std::string& text) {
  std::ofstream(folder / name) << text;
  return folder / name;
}

/// Files of GPT-2's kind with 6 ids, and Megatron's data of these.
struct Corpus {
  Corpus() {
    MegatronWriter writer(folder / "text", 8);
    for (int document = 0; document < 100; ++document) {
      writer.append(std::vector<std::int32_t>{0, 1, 2, 3, 4, 3, 2, 1, kEnd});
      writer.end_document();
    }
    writer.finish();
  }

  /// A deck over `data`, with further lines.
  [[nodiscard]] Deck deck(const std::string& data, const std::string& more = "") const {
    Deck deck = parse_deck(
        "num_layers: 1\nhidden_size: 8\nnum_attention_heads: 1\nseq_length: 4\n"
        "train_micro_batch_size_per_gpu: 2\ntrain_iters: 1\nlr: 1e-3\npos_emb: rotary\n"
        "split: \"90, 5, 5\"\ndata_path: " +
            folder / data + "\n" + more,
        "deck.yml");
    resolve(deck, 1);
    return deck;
  }
  /// The lines by which decks of GPT-NeoX name the tokenizer.
  [[nodiscard]] std::string gpt2(const std::string& type = "GPT2BPETokenizer") const {
    return "tokenizer_type: " + type + "\nvocab_file: " + vocabulary +
           "\nmerge_file: " + merges + "\n";
  }
  [[nodiscard]] std::string error(const Deck& asked) const {
    Deck deck = asked;
    return test::error_of([&] { (void)check_data(deck); });
  }

  test::TemporaryFolder folder;
  std::string vocabulary = write(
      folder, "v.json", R"({"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "<|endoftext|>": 5})");
  std::string merges = write(folder, "m.txt", "#version: 0.2\na b\nĠ ab\n");
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(deck_tokenizer, Corpus)

BOOST_AUTO_TEST_CASE(megatrons_data_take_vocabulary_and_end_from_the_deck) {
  Deck d = deck("text", gpt2() + "reset_attention_mask: true\n");
  (void)check_data(d);
  BOOST_TEST(d.model.vocab_size == 6);
  BOOST_TEST(d.end_of_document == kEnd);
  // What every rank reads of the resolved deck says it all.
  const Deck there = parse_deck(to_yaml(d), "resolved");
  BOOST_TEST(there.model.vocab_size == 6);
  BOOST_TEST(there.end_of_document == kEnd);
  BOOST_TEST(open_samples(there, Part::valid, DocumentCheck::none)->end_of_document() == kEnd);
  const auto samples = open_samples(there, Part::train, DocumentCheck::none);
  const auto tokenizer = tokenizer_for(samples->file(0), there);
  BOOST_REQUIRE(tokenizer != nullptr);
  BOOST_TEST(tokenizer->decode(std::vector<std::int32_t>{3, 4, kEnd}) == "ab ab");
}

BOOST_AUTO_TEST_CASE(the_decks_own_numbers_stand) {
  Deck d = deck("text", gpt2() + "vocab_size: 128\nend_of_document: 2\n");
  (void)check_data(d);
  BOOST_TEST(d.model.vocab_size == 128);
  BOOST_TEST(d.end_of_document == 2);
  TRM_TEST_MENTIONS(error(deck("text", gpt2() + "vocab_size: 5\n")),
                    "vocab_size is 5 in the deck, but the tokenizer of vocab_file: " +
                        vocabulary + " has 6 ids");
}

BOOST_AUTO_TEST_CASE(characters_need_no_file) {
  Deck d = deck("text", "tokenizer_type: CharLevelTokenizer\n");
  (void)check_data(d);
  BOOST_TEST(d.model.vocab_size == 512);
  BOOST_TEST(d.end_of_document == 0);
}

BOOST_AUTO_TEST_CASE(a_missing_tokenizer_stops_only_a_run_that_needs_it) {
  const std::string gone = "tokenizer_type: GPT2BPETokenizer\nvocab_file: /gone/v.json\n";
  const std::string needed = error(deck("text", gone));
  TRM_TEST_MENTIONS(needed, "vocab_file: /gone/v.json: there is no such file or folder");
  TRM_TEST_MENTIONS(needed, "set vocab_size and end_of_document");
  Deck known = deck("text", gone + "vocab_size: 6\n");
  (void)check_data(known);
  BOOST_TEST(known.end_of_document == -1);
  const auto samples = open_samples(known, Part::train, DocumentCheck::none);
  BOOST_TEST(tokenizer_for(samples->file(0), known) == nullptr);
  test::make_token_file(folder / "own.h5", std::vector<std::vector<std::int32_t>>(100, {1, 2}));
  Deck own = deck("own.h5", gone);
  (void)check_data(own);
  BOOST_TEST(own.model.vocab_size == 257);
}

BOOST_AUTO_TEST_CASE(a_file_of_another_type_is_named) {
  write(folder, "merges.txt", "#version: 0.2\na b\nĠ ab\n");  // only GPT-2's takes merge_file
  for (const char* type : {"SPMTokenizer", "TiktokenTokenizer"}) {
    TRM_TEST_MENTIONS(error(deck("text", gpt2(type))),
                      "tokenizer_type " + std::string(type) + " expects a ");
  }
  for (const char* type : {"HFTokenizer", "HFGPT2Tokenizer", "null"}) {
    Deck d = deck("text", gpt2(type));
    (void)check_data(d);
    BOOST_TEST(d.model.vocab_size == 6, type);
  }
}

BOOST_AUTO_TEST_CASE(data_of_another_tokenizer_are_refused_by_both_names) {
  test::make_token_file(folder / "own.h5", std::vector<std::vector<std::int32_t>>(100, {1, 2}));
  const std::string text = error(deck("own.h5", gpt2()));
  TRM_TEST_MENTIONS(text, "own.h5 holds the tokenizer \"bytes\" of 257 ids");
  TRM_TEST_MENTIONS(text, "vocab_file: " + vocabulary + ", which is \"hugging-face\" of 6 ids");
  TRM_TEST_MENTIONS(text, "vocab_file=null");
  TRM_TEST_MENTIONS(error(deck("own.h5", "tokenizer_type: CharLevelTokenizer\n")),
                    "tokenizer_type: CharLevelTokenizer");
}

BOOST_AUTO_TEST_CASE(equal_definitions_may_end_documents_otherwise) {
  BOOST_TEST(same_tokenizer("bytes", "", "bytes", ""));
  BOOST_TEST(!same_tokenizer("bytes", "", "characters", ""));
  std::ofstream(folder / "tokenizer.json") << byte_tokenizer_json(kPublishedEnd);
  const auto published = open_tokenizer({.name = folder / "tokenizer.json"});
  BOOST_TEST(same_tokenizer("bytes", "", published->kind(), published->definition()));
  BOOST_TEST(same_tokenizer(published->kind(), published->definition(), "bytes", ""));
  BOOST_TEST(!same_tokenizer("bytes", "", "hugging-face", R"({"tokenizer": {}})"));
  BOOST_TEST(
      same_tokenizer("ranks", R"({"a": 1})", "ranks", R"({"end_of_document": "x", "a": 1})"));
  BOOST_TEST(!same_tokenizer("ranks", R"({"a": 1})", "ranks", R"({"a": 2})"));
  BOOST_TEST(!same_tokenizer("sentencepiece", "a", "sentencepiece", "b"));
}

BOOST_AUTO_TEST_SUITE_END()
