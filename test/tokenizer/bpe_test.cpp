// SPDX-License-Identifier: Apache-2.0
// Byte-pair merging beside its definition, and files that are damaged or ask for what we lack.
#include "../../src/tokenizer/bpe.hpp"

#include <random>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

#include "../../src/tokenizer/base64.hpp"
#include "../../src/tokenizer/bpe_reader.hpp"
#include "../../src/tokenizer/ranks.hpp"
#include "../../src/tokenizer/short_merge.hpp"
#include "../support/error_of.hpp"
#include "text_file.hpp"

using namespace trireme;
using nlohmann::json;
using test::error_of;
using Tokens = std::vector<std::int32_t>;

namespace {

/// The definition: the leftmost neighbours of lowest rank merge, one pair at a time.
Tokens merged(const PairTable& merges, Tokens symbols) {
  for (;;) {
    std::size_t best = 0;
    Merge lowest;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Merge merge = merges.find(symbols[i], symbols[i + 1]);
      if (merge.rank < lowest.rank) {
        lowest = merge;
        best = i;
      }
    }
    if (lowest.rank == Merge::kNone) return symbols;
    symbols[best] = lowest.id;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

json small_spec() {
  return json::parse(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "</s>": 3},
                         "merges": ["a b"]}})");
}

/// The lines of a .tiktoken file whose tokens are the bytes.
std::string bytes_as_tokens() {
  std::string lines;
  for (int byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<char>(byte);
    lines += to_base64({&c, 1}) + " " + std::to_string(byte) + "\n";
  }
  return lines;
}

std::string error_with(const json& spec) {
  const test::TemporaryFolder folder;
  const std::string path = test::write_text(folder, "t.json", spec.dump());
  return error_of([&] { (void)open_tokenizer({.name = path}); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(no_symbols_have_no_merges) {
  ShortMerge merge;
  int taken = 0;
  merge.run(
      PairTable(), 0, [](std::size_t) { return Merge(); }, [&](std::int32_t) { ++taken; });
  BOOST_TEST(taken == 0);
}

BOOST_AUTO_TEST_CASE(short_and_long_words_merge_by_the_definition) {
  std::mt19937 random(1);
  PairTable merges;
  std::int32_t next = 4;
  for (std::uint32_t rank = 0; rank < 60; ++rank) {
    const auto left = static_cast<std::int32_t>(random() % static_cast<unsigned>(next));
    const auto right = static_cast<std::int32_t>(random() % static_cast<unsigned>(next));
    if (merges.add(left, right, {rank, next})) ++next;
  }
  for (std::size_t n = 1; n < 200; ++n) {
    Tokens symbols(n);
    for (auto& s : symbols) s = static_cast<std::int32_t>(random() % 4);
    const Tokens expected = merged(merges, symbols);
    merge_all(merges, symbols);
    BOOST_TEST(symbols == expected, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(merges_follow_from_ranks) {
  Vocabulary tokens;
  std::int32_t id = 0;
  for (const char* const token :
       {"a", "b", "c", "ab", "bc", "abc", "cab", "d", "e", "abcde", "de"}) {
    tokens.add(token, id++, "test");
  }
  const PairTable merges = merges_by_rank(tokens, id);
  BOOST_TEST(merges.count() == 6U);
  BOOST_TEST(merges.find(5, 10).id == 9);
  BOOST_TEST(merges.find(7, 8).id == 10);  // d and e, which are a part of an earlier token
  BOOST_TEST(merges.find(0, 1).id == 3);
  BOOST_TEST(merges.find(3, 2).id == 5);  // ab and c, as ab comes before bc
  BOOST_TEST(merges.find(0, 4).id == -1);
  BOOST_TEST(merges.find(2, 3).id == 6);
}

/// Words of one and several ids, short and long, and words that trade places in the cache.
BOOST_AUTO_TEST_CASE(words_met_again_have_equal_ids) {
  const std::string lines = bytes_as_tokens() + to_base64("ab") + " 256\n";
  std::mt19937 random(2);
  std::vector<std::string> words;
  for (int i = 0; i < 3000; ++i) {
    std::string word(1 + random() % (i % 50 == 0 ? 200 : 20), 'a');
    for (char& c : word) c = static_cast<char>('a' + random() % 3);
    words.push_back(word);
  }
  const auto tokenizer = read_tiktoken(lines, "r50k", "", "t.tiktoken");
  for (int turn = 0; turn < 3; ++turn) {
    std::string text;
    Tokens expected;
    for (int i = 0; i < 4000; ++i) {
      const std::string& word = words[random() % words.size()];
      text += i == 0 ? word : " " + word;
      if (i > 0) expected.push_back(' ');
      for (std::size_t at = 0; at < word.size(); ++at) {
        const bool pair = word.compare(at, 2, "ab") == 0;
        expected.push_back(pair ? 256 : word[at]);
        at += pair ? 1 : 0;
      }
    }
    Tokens ids;
    tokenizer->encode(text, ids);
    BOOST_TEST((ids == expected));
  }
}

BOOST_AUTO_TEST_CASE(special_tokens_are_text_unless_allowed) {
  const std::string lines = bytes_as_tokens();
  const std::string text = "a<|endoftext|>b";
  for (const bool allowed : {false, true}) {
    const auto read = read_tiktoken(lines, "r50k", "", "t.tiktoken", allowed);
    const auto same = make_tokenizer(read->kind(), read->definition());
    for (const Tokenizer* tokenizer : {read.get(), same.get()}) {
      Tokens ids;
      tokenizer->encode(text, ids);
      BOOST_TEST(ids.size() == (allowed ? 3U : text.size()));
      BOOST_TEST(ids[1] == (allowed ? 50256 : '<'));
    }
  }
  const auto definition = read_tiktoken(lines, "r50k", "", "t.tiktoken")->definition();
  BOOST_TEST(definition.find("allow_special") ==
             std::string::npos);  // as earlier versions wrote it
}

BOOST_AUTO_TEST_CASE(unknown_characters) {
  json model = small_spec()["model"];
  const auto ids = [&](const std::string& text) {
    Tokens got;
    read_bpe(model, false, "test")->encode(text, got);
    return got;
  };
  BOOST_TEST(ids("xab") == (Tokens{2}), boost::test_tools::per_element());
  model["unk_token"] = "</s>";
  BOOST_TEST(ids("xxabx") == (Tokens{3, 3, 2, 3}), boost::test_tools::per_element());
  model["fuse_unk"] = true;
  BOOST_TEST(ids("xxabx") == (Tokens{3, 2, 3}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(damaged_files_are_named) {
  const test::TemporaryFolder folder;
  const std::string good = test::write_text(folder, "t.json", small_spec().dump());
  BOOST_TEST(open_tokenizer({.name = good})->vocab_size() == 4);
  const auto with = [](const char* pointer, const json& value) {
    json spec = small_spec();
    spec[json::json_pointer(pointer)] = value;
    return error_with(spec);
  };
  TRM_TEST_MENTIONS(with("/model/merges/0", "a  b"), "a merge must be two tokens");
  TRM_TEST_MENTIONS(with("/model/merges/0", "a z"), "needs \"z\", which is no token");
  TRM_TEST_MENTIONS(with("/model/merges/1", "a b"), "the merge \"a b\" stands twice");
  TRM_TEST_MENTIONS(with("/model/merges/0", "b a"), "needs \"ba\"");
  TRM_TEST_MENTIONS(with("/model/vocab/b", 0), "two tokens have the id 0");
  TRM_TEST_MENTIONS(with("/model/vocab/b", -1), "must be an integer from 0");
  TRM_TEST_MENTIONS(with("/model/vocab/b", 1e18), "must be an integer from 0");
  TRM_TEST_MENTIONS(with("/model/vocab/b", 4000000000U), "must be an integer from 0");
  TRM_TEST_MENTIONS(with("/model/dropout", 0.1), "dropout");
  TRM_TEST_MENTIONS(with("/model/type", "Lookup"), "\"Lookup\" is not known");
  TRM_TEST_MENTIONS(with("/model/novelty", 1), "\"novelty\" is not supported");
  TRM_TEST_MENTIONS(with("/novelty", 1), "\"novelty\" is not supported");
  TRM_TEST_MENTIONS(with("/normalizer", {{"type", "Rot13"}}), "Rot13");
  TRM_TEST_MENTIONS(with("/added_tokens", {{{"id", 9}, {"content", "<x>"}}}),
                    "\"<x>\" has the id 9, but Hugging Face's library gives it 4");
}

BOOST_AUTO_TEST_CASE(files_that_are_no_tokenizer) {
  const test::TemporaryFolder folder;
  const auto error = [&](const std::string& text) {
    const std::string path = test::write_text(folder, "t", text);
    return error_of([&] { (void)open_tokenizer({.name = path}); });
  };
  TRM_TEST_MENTIONS(error("{\"model\": "), "t: this is no JSON");
  TRM_TEST_MENTIONS(error("{\"a\": 1, \"a\": 2}"), "the key \"a\" stands twice");
  TRM_TEST_MENTIONS(error("{\"a\": {}}"), "this JSON is no tokenizer");
  TRM_TEST_MENTIONS(error("{\"a\": 0, \"b\": 1}"), "merges.txt is missing");
  TRM_TEST_MENTIONS(error("{\"a\": " + std::string(100000, '[')), "nested more than 100 deep");
  TRM_TEST_MENTIONS(error("some words"), "this file is no tokenizer");
  TRM_TEST_MENTIONS(error("IQ== 0\nIg== 1\n"), "Name the encoding");
  TRM_TEST_MENTIONS(error("IQ== 0\nIg==\n"), "t, line 2: \"Ig==\"");
  TRM_TEST_MENTIONS(error("IQ== 0\nIg== 4000000\n"), "the rank 4000000 is too large");
  TRM_TEST_MENTIONS(error(""), "this file is no tokenizer");
  TRM_TEST_MENTIONS(error_of([] { (void)open_tokenizer({.name = "no/such"}); }),
                    "\"no/such\" is neither a file or folder");
  TRM_TEST_MENTIONS(error_of([&] { (void)open_tokenizer({.name = folder / "."}); }),
                    "no tokenizer");
}

BOOST_AUTO_TEST_CASE(gpt2_files_and_folders) {
  const test::TemporaryFolder folder;
  json vocabulary = {{"a", 0}, {"b", 1}, {"Ġ", 2}, {"ab", 3}, {"Ġab", 4}, {"<|endoftext|>", 5}};
  (void)test::write_text(folder, "vocab.json", vocabulary.dump());
  (void)test::write_text(folder, "merges.txt", "#version: 0.2\na b\nĠ ab\n");
  const auto tokenizer = open_tokenizer({.name = folder / "."});
  Tokens ids;
  tokenizer->encode("ab ab<|endoftext|>b", ids);
  BOOST_TEST(ids == (Tokens{3, 4, 5, 1}), boost::test_tools::per_element());
  BOOST_TEST(tokenizer->end_of_document() == 5);
  BOOST_TEST(tokenizer->vocab_size() == 6);
  BOOST_TEST(tokenizer->decode(ids) == "ab abb");
  BOOST_TEST(tokenizer->id_of(" ab").value() == 4);
  (void)test::write_text(folder, "tokenizer_config.json", R"({"eos_token": {"content": "b"}})");
  BOOST_TEST(open_tokenizer({.name = folder / "."})->end_of_document() == 1);
  BOOST_CHECK_THROW((void)tokenizer->decode(Tokens{6}), Error);
}
