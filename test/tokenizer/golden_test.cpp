// SPDX-License-Identifier: Apache-2.0
// Small tokenizers beside Hugging Face's library and tiktoken, which gave the golden ids. See
// test/support/tokenizers/make_golden.py.
#include <fstream>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

#include "text_file.hpp"

using namespace trireme;
using nlohmann::json;
using Tokens = std::vector<std::int32_t>;

namespace {

json golden(const std::string& name) {
  std::ifstream in(std::string(TRIREME_TEST_DIR) + "/tokenizer/golden/" + name + ".json");
  BOOST_REQUIRE(in.good());
  return json::parse(in);
}

Tokens encode(const Tokenizer& tokenizer, const std::string& text) {
  Tokens ids;
  tokenizer.encode(text, ids);
  return ids;
}

void check(const Tokenizer& tokenizer, const json& expected) {
  for (int round = 0; round < 2; ++round) {  // the second round finds words in the cache
    for (std::size_t i = 0; i < expected["texts"].size(); ++i) {
      const std::string text = expected["texts"][i];
      BOOST_TEST_CONTEXT("text " << expected["texts"][i]) {
        BOOST_TEST(encode(tokenizer, text) == expected["ids"][i].get<Tokens>(),
                   boost::test_tools::per_element());
      }
    }
  }
}

/// Encodes a long text in pieces that split_point() allows.
void check_splits(const Tokenizer& tokenizer, const json& expected) {
  std::string text;
  for (const json& part : expected["texts"]) text += part.get<std::string>() + "word \n";
  for (const std::size_t block : {40U, 90U, 301U, 3001U}) {
    // The last round's text is longer than what a pipeline encodes at once.
    while (block > 3000 && text.size() < (1 << 17)) text += text;
    const Tokens whole = encode(tokenizer, text);
    Tokens joined;
    std::size_t at = 0;
    while (at < text.size()) {
      const std::string_view rest = std::string_view(text).substr(at);
      std::size_t end = rest.size();
      for (std::size_t seen = block; seen < rest.size(); seen += block) {
        if (const std::size_t split = tokenizer.split_point(rest.substr(0, seen)); split > 0) {
          end = split;
          break;
        }
      }
      tokenizer.encode_part(rest.substr(0, end), at == 0 ? TextPart::first : TextPart::later,
                            joined);
      at += end;
    }
    BOOST_TEST(joined == whole, "blocks of " << block);
  }
}

const std::vector<std::string> kHuggingFace = {"byte_level", "llama3", "llama2", "affixes",
                                               "added_tokens"};
const std::vector<std::string> kTiktoken = {"r50k", "cl100k", "o200k"};

}  // namespace

BOOST_DATA_TEST_CASE(hugging_face, boost::unit_test::data::make(kHuggingFace), name) {
  const json expected = golden(name);
  const test::TemporaryFolder folder;
  const std::string path =
      test::write_text(folder, "tokenizer.json", expected["tokenizer"].dump());
  // Two have no usual token for the end of a document.
  const auto tokenizer = open_tokenizer(
      {.name = path, .end_of_document = name == "added_tokens" ? "<|endoftext|>" : ""});
  check(*tokenizer, expected);
  check_splits(*tokenizer, expected);
  const Surroundings around = tokenizer->surroundings();
  BOOST_TEST(around.before.size() + around.after.size() ==
             expected["around"].get<std::size_t>());
  const auto again = make_tokenizer(tokenizer->kind(), tokenizer->definition());
  BOOST_TEST(again->definition() == tokenizer->definition());
  BOOST_TEST(again->end_of_document() == tokenizer->end_of_document());
  check(*again, expected);
  for (std::size_t i = 0; i < expected["texts"].size(); ++i) {
    const std::string text = expected["decoded"][i];
    if (text.find("\uFFFD") != std::string::npos) continue;  // we keep the bytes
    BOOST_TEST(tokenizer->decode(expected["ids"][i].get<Tokens>()) == text);
  }
}

BOOST_DATA_TEST_CASE(tiktoken, boost::unit_test::data::make(kTiktoken), name) {
  const json expected = golden("tiktoken_" + name);
  std::string lines;
  for (std::size_t i = 0; i < expected["tokenizer"].size(); ++i) {
    lines += expected["tokenizer"][i].get<std::string>() + " " + std::to_string(i) + "\n";
  }
  const test::TemporaryFolder folder;
  const std::string path = test::write_text(folder, "small.tiktoken", lines);
  const auto tokenizer = open_tokenizer({.name = path, .encoding = name});
  check(*tokenizer, expected);
  check_splits(*tokenizer, expected);
  for (const json& text : expected["texts"]) {
    const auto bytes = text.get<std::string>();
    BOOST_TEST(tokenizer->decode(encode(*tokenizer, bytes)) == bytes);
  }
  const auto again = make_tokenizer(tokenizer->kind(), tokenizer->definition());
  check(*again, expected);
  const std::string invalid("\xff\xc3 a\xe4\xb8 \xf0\x9f\x98", 10);
  BOOST_TEST(tokenizer->decode(encode(*tokenizer, invalid)) == invalid);
}
