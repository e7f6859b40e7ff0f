// SPDX-License-Identifier: Apache-2.0
// Tokens that a masked language model must find: how many, which, and what stands there
// instead.
#include "trireme/data/token_masking.hpp"

#include <algorithm>
#include <memory>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "trireme/data/samples.hpp"

#include "../support/error_of.hpp"

using namespace trireme;
using test::error_of;

namespace {

using Ids = std::vector<std::int32_t>;
constexpr std::int32_t kMask = 4;
constexpr std::int32_t kFirstWord = 5;     // to 24
constexpr std::int32_t kFirstWithin = 25;  // to 44: tokens that continue a word
constexpr std::int64_t kIds = 45;
constexpr std::int64_t kSamples = 400;
constexpr std::size_t kLength = 120;

std::unique_ptr<Tokenizer> word_piece() {
  using nlohmann::json;
  json vocabulary;
  json added = json::array();
  int id = 0;
  for (const char* name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    added.push_back({{"id", id},
                     {"content", name},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
    vocabulary[name] = id++;
  }
  for (int i = 0; i < 20; ++i) vocabulary[std::string(1, static_cast<char>('a' + i))] = id++;
  for (int i = 0; i < 20; ++i) {
    vocabulary["##" + std::string(1, static_cast<char>('a' + i))] = id++;
  }
  const json spec = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", {{"type", "Whitespace"}}},
                     {"post_processor", nullptr},
                     {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
                     {"model",
                      {{"type", "WordPiece"},
                       {"unk_token", "[UNK]"},
                       {"continuing_subword_prefix", "##"},
                       {"max_input_chars_per_word", 100},
                       {"vocab", vocabulary}}}};
  const json definition = {{"tokenizer", spec}, {"end_of_document", "[SEP]"}};
  return make_tokenizer("hugging-face", definition.dump());
}

/// [CLS], words of one to three tokens, [SEP], and padding.
Ids text_of(std::uint64_t k) {
  Ids ids{2};
  for (std::size_t i = 1; i + 11 < kLength; ++i) {
    const auto n = static_cast<std::int32_t>((k * 31 + i * i * 7) % 20);
    ids.push_back(i % 3 == 1 || n < 4 ? kFirstWord + n : kFirstWithin + n);
  }
  ids.push_back(3);
  ids.resize(kLength, uncounted(0));
  return ids;
}

struct Masked {
  Ids before, inputs, targets;
};

Masked masked(const TokenMasking& masking, std::uint64_t k) {
  Masked m{text_of(k), text_of(k), Ids(kLength)};
  masking.apply(k, m.inputs, m.targets);
  return m;
}

}  // namespace

BOOST_AUTO_TEST_CASE(shares_are_those_of_bert) {
  const auto tokenizer = word_piece();
  const TokenMasking masking({.probability = 0.15}, kIds, tokenizer.get(), 7);
  double candidates = 0;
  double targets = 0;
  double hidden = 0;
  double same = 0;
  for (std::uint64_t k = 0; k < kSamples; ++k) {
    const Masked m = masked(masking, k);
    for (std::size_t i = 0; i < kLength; ++i) {
      const bool special = m.before[i] < kFirstWord;  // padding too
      BOOST_REQUIRE(id_of(m.targets[i]) == id_of(m.before[i]));
      BOOST_REQUIRE((m.targets[i] < 0 || !special));
      if (m.targets[i] < 0) BOOST_REQUIRE(m.inputs[i] == m.before[i]);
      if (special) continue;
      ++candidates;
      if (m.targets[i] < 0) continue;
      ++targets;
      if (m.inputs[i] == kMask) ++hidden;
      if (m.inputs[i] == m.before[i]) ++same;
      BOOST_REQUIRE((m.inputs[i] == kMask || m.inputs[i] >= kFirstWord));
    }
  }
  // Four standard deviations of 43,200 and of 6,480 draws.
  BOOST_TEST(std::abs(targets / candidates - 0.15) < 0.007);
  BOOST_TEST(std::abs(hidden / targets - 0.8) < 0.02);
  BOOST_TEST(std::abs(same / targets - 0.1025) < 0.016);  // one in 40 draws is the token itself
}

BOOST_AUTO_TEST_CASE(a_sample_is_always_masked_alike) {
  const auto tokenizer = word_piece();
  const TokenMasking one({}, kIds, tokenizer.get(), 7);
  const TokenMasking again({}, kIds, tokenizer.get(), 7);
  const TokenMasking other({}, kIds, tokenizer.get(), 8);
  BOOST_TEST(masked(one, 5).inputs == masked(again, 5).inputs);
  BOOST_TEST(masked(one, 5).inputs != masked(other, 5).inputs);
  Masked m = masked(one, 5);
  m.inputs = text_of(5);
  one.apply(6, m.inputs, m.targets);
  BOOST_TEST(m.inputs != masked(one, 5).inputs);
}

BOOST_AUTO_TEST_CASE(whole_words_are_targets_or_not) {
  const auto tokenizer = word_piece();
  const TokenMasking masking({.whole_words = true}, kIds, tokenizer.get(), 7);
  std::int64_t words = 0;
  for (std::uint64_t k = 0; k < kSamples; ++k) {
    const Masked m = masked(masking, k);
    for (std::size_t i = 1; i < kLength; ++i) {
      if (m.before[i] < kFirstWithin || m.before[i - 1] < kFirstWord) continue;
      BOOST_REQUIRE((m.targets[i] >= 0) == (m.targets[i - 1] >= 0));
      if (m.targets[i] >= 0) ++words;
    }
  }
  BOOST_TEST(words > 1000);
}

BOOST_AUTO_TEST_CASE(what_masking_needs) {
  const ByteTokenizer bytes;
  BOOST_TEST(error_of([&] {
               const TokenMasking masking({}, 257, &bytes, 0);
             }).find("needs a token that hides others") != std::string::npos);
  BOOST_TEST(error_of([&] {
               const TokenMasking masking({.mask_token = 300}, 257, &bytes, 0);
             }).find("300 is not in the vocabulary of 257") != std::string::npos);
  BOOST_TEST(error_of([&] {
               const TokenMasking masking({.whole_words = true, .mask_token = 1}, 257, &bytes,
                                          0);
             }).find("whole_word_mask needs") != std::string::npos);
}
