// SPDX-License-Identifier: Apache-2.0
// Fill-in-the-middle between characters: what a sample's parts spell, and which documents are
// split between tokens all the same.
#include "trireme/data/fill_in_the_middle.hpp"

#include <algorithm>
#include <array>

#include <boost/test/unit_test.hpp>

#include "trireme/data/samples.hpp"

#include "../support/temporary_folder.hpp"
#include "foreign_files.hpp"
#include "make_token_file.hpp"

using namespace trireme;
using Tokens = std::vector<std::int32_t>;

namespace {

constexpr std::int32_t kPrefix = 100001, kMiddle = 100002, kSuffix = 100003;
constexpr FillInTheMiddle kRule{
    .rate = 1, .spm_rate = 0, .prefix = kPrefix, .middle = kMiddle, .suffix = kSuffix};
constexpr const char* kText =
    "Understanding of the na\u00efve \u4e2d\u6587 definitions, abbreviations and etymologies "
    "of extraordinarily uncommon words takes nothing but patience.";

const Tokenizer& tokenizer() {
  static const auto tokenizer =
      open_tokenizer({.name = TRIREME_TEST_DIR "/../inputs/gcide-tokenizer.json"});
  return *tokenizer;
}

Tokens encoded(std::string_view text) {
  Tokens ids;
  tokenizer().encode(text, ids);
  return ids;
}

/// What stands in a changed document of the first form.
struct Found {
  Tokens prefix;
  Tokens suffix;
  Tokens middle;
};
Found found_in(const Tokens& tokens) {
  const auto suffix = std::ranges::find(tokens, kSuffix);
  const auto middle = std::ranges::find(tokens, kMiddle);
  BOOST_REQUIRE(suffix != tokens.end());
  BOOST_REQUIRE(middle != tokens.end());
  return {{tokens.begin() + 1, suffix}, {suffix + 1, middle}, {middle + 1, tokens.end()}};
}

Tokens applied(const FillInTheMiddle& rule, std::uint64_t k, Tokens tokens) {
  rule.apply(7, k, tokenizer().end_of_document(), tokens, &tokenizer());
  return tokens;
}

}  // namespace

BOOST_AUTO_TEST_CASE(parts_spell_the_text_and_are_encoded_by_themselves) {
  const std::string text = kText;
  const Tokens whole = encoded(text);
  Tokens ends;  // bytes at which tokens end
  for (std::size_t n = 0; n <= whole.size(); ++n) {
    const auto bytes = tokenizer().decode(std::span(whole).first(n)).size();
    ends.push_back(static_cast<std::int32_t>(bytes));
  }
  int changed = 0;
  int within = 0;  // a part begins within a token of the whole
  for (std::uint64_t k = 0; k < 300; ++k) {
    const Tokens tokens = applied(kRule, k, whole);
    BOOST_REQUIRE_EQUAL(tokens.size(), whole.size());
    if (tokens[0] != kPrefix) {
      BOOST_TEST(tokens == whole, boost::test_tools::per_element());
      continue;
    }
    ++changed;
    const Found found = found_in(tokens);
    const std::string prefix = tokenizer().decode(found.prefix);
    const std::string middle = tokenizer().decode(found.middle);
    BOOST_TEST(text.starts_with(prefix + middle));
    const std::string suffix = text.substr(prefix.size() + middle.size());
    BOOST_TEST(found.prefix == encoded(prefix), boost::test_tools::per_element());
    Tokens own;
    tokenizer().encode_part(middle, TextPart::later, own);
    BOOST_TEST((prefix.empty() || found.middle == own));
    own.clear();
    tokenizer().encode_part(suffix, TextPart::later, own);
    own.resize(found.suffix.size());
    BOOST_TEST((prefix.empty() || found.suffix == own));
    // A continuation byte begins no part.
    for (const std::string* part : {&middle, &suffix}) {
      BOOST_TEST((part->empty() || (static_cast<unsigned char>((*part)[0]) & 0xc0) != 0x80));
    }
    const auto place = static_cast<std::int32_t>(prefix.size());
    within += std::ranges::find(ends, place) == ends.end() ? 1 : 0;
  }
  BOOST_TEST(changed > 200);
  BOOST_TEST(within > 60);  // words have about four characters a token
}

BOOST_AUTO_TEST_CASE(the_second_form_has_the_same_parts) {
  FillInTheMiddle other = kRule;
  other.spm_rate = 1;
  const Tokens whole = encoded(kText);
  for (std::uint64_t k = 0; k < 50; ++k) {
    const Tokens first = applied(kRule, k, whole);
    if (first[0] != kPrefix) continue;
    const Found found = found_in(first);
    Tokens expected{kPrefix, kSuffix};
    expected.insert(expected.end(), found.suffix.begin(), found.suffix.end());
    expected.push_back(kMiddle);
    expected.insert(expected.end(), found.prefix.begin(), found.prefix.end());
    expected.insert(expected.end(), found.middle.begin(), found.middle.end());
    BOOST_TEST(applied(other, k, whole) == expected, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(tokens_that_do_not_count_or_spell_are_kept) {
  const std::array<std::int32_t, 2> odd{~encoded("of")[0],
                                        static_cast<std::int32_t>(tokenizer().vocab_size())};
  for (const std::int32_t one : odd) {
    Tokens whole = encoded(kText);
    whole[whole.size() / 3] = one;
    for (std::uint64_t k = 0; k < 50; ++k) {
      Tokens by_tokens = whole;
      kRule.apply(7, k, tokenizer().end_of_document(), by_tokens);
      BOOST_TEST(applied(kRule, k, whole) == by_tokens, boost::test_tools::per_element());
    }
  }
}

BOOST_AUTO_TEST_CASE(a_sample_that_begins_within_a_character) {
  const Tokens all = encoded("\U0001f469\u4e2d\u6587 " + std::string(kText));
  const Tokens whole(all.begin() + 1, all.end());
  for (std::uint64_t k = 0; k < 100; ++k) {
    BOOST_TEST(applied(kRule, k, whole).size() == whole.size());
  }
}

BOOST_AUTO_TEST_CASE(the_tokenizer_comes_from_the_file) {
  const test::TemporaryFolder folder;
  Tokens accents;  // é as two bytes, 40 times
  for (int i = 0; i < 40; ++i) accents.insert(accents.end(), {0xc3, 0xa9});
  test::make_token_file(folder / "bytes.h5", {accents, accents, accents});
  test::write_indexed<std::uint16_t>(folder / "megatron", {accents, accents, accents}, 8);
  for (const char* name : {"bytes.h5", "megatron"}) {
    FillInTheMiddle rule = kRule;
    rule.prefix = 1;
    rule.middle = 2;
    rule.suffix = 3;
    const Samples samples({.paths = {folder / name},
                           .seq_length = 79,
                           .given = {.vocab_size = 257, .end_of_document = 256},
                           .fill_in_the_middle = rule});
    const bool has_tokenizer = name[0] == 'b';
    BOOST_TEST(samples.splits_characters() == has_tokenizer);
    int changed = 0;
    int within = 0;  // a mark stands before the second byte of a character
    Tokens sample(80);
    for (std::uint64_t k = 0; k < 60; ++k) {
      samples.get(k, sample);
      for (std::size_t i = 0; i + 1 < sample.size(); ++i) {
        if (sample[i] != rule.middle) continue;
        ++changed;
        within += sample[i + 1] == 0xa9 ? 1 : 0;
      }
    }
    BOOST_TEST(changed > 30);
    BOOST_TEST((within > 0) == !has_tokenizer);
  }
}
