// SPDX-License-Identifier: Apache-2.0
// SentencePiece's model files: damaged ones are errors that name the place, texts can be split
// where split_point() says, and definition() makes an equal tokenizer.
#include "../../src/tokenizer/sentence_piece.hpp"

#include <bit>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

#include "../support/error_of.hpp"

using namespace trireme;
using test::error_of;

namespace {

using Ids = std::vector<std::int32_t>;

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string sized(unsigned field, const std::string& bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string number(unsigned field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}
std::string real(unsigned field, float value) {
  std::string bytes = varint(field << 3 | 5);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (unsigned shift = 0; shift < 32; shift += 8) {
    bytes += static_cast<char>(bits >> shift & 0xff);
  }
  return bytes;
}

enum Type : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

std::string piece(const std::string& text, float score = 0, unsigned type = normal) {
  return sized(1, sized(1, text) + real(2, score) + number(3, type));
}
std::string trainer(unsigned algorithm, bool byte_fallback = false) {
  return sized(2, number(3, algorithm) + number(35, byte_fallback ? 1 : 0));
}
constexpr unsigned kUnigram = 1, kBpe = 2;

// <unk>, </s>, ▁, a, b, ab, ▁a
std::string small(unsigned algorithm) {
  return piece("<unk>", 0, unknown) + piece("</s>", 0, control) + piece("\u2581", -2) +
         piece("a", -3) + piece("b", -4) + piece("ab", -1) +
         piece(
             "\u2581"
             "a",
             -1.5F) +
         trainer(algorithm);
}

std::string error(const std::string& bytes) {
  return error_of([&] { (void)read_sentence_piece(bytes, "m.model"); });
}

Ids encode(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.encode(text, ids);
  return ids;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_damaged_model_is_named) {
  TRM_TEST_MENTIONS(error(""), "m.model: a SentencePiece model without pieces");
  TRM_TEST_MENTIONS(error("\x0a"), "ends within a number");
  TRM_TEST_MENTIONS(error("\x0a\x7f"), "field 1 at byte 2 has 127 bytes, but 0 are left");
  TRM_TEST_MENTIONS(error("\x0a" + varint(~0ULL)), "has 18446744073709551615 bytes");
  TRM_TEST_MENTIONS(error("\x08" + std::string(11, '\xff')), "more than ten bytes");
  TRM_TEST_MENTIONS(error(std::string(1, '\0')), "has an impossible number");
  TRM_TEST_MENTIONS(error("\x0b"), "the unknown wire type 3");
  TRM_TEST_MENTIONS(error(number(1, 5)), "has wire type 0 instead of 2");
  TRM_TEST_MENTIONS(error(sized(1, number(2, 5))), "piece 0: field 2 at byte 2 has wire type");
  TRM_TEST_MENTIONS(error(piece("")), "piece 0: the piece is empty");
  TRM_TEST_MENTIONS(error(piece("\xff")), "byte 0 is no UTF-8");
  TRM_TEST_MENTIONS(error(piece("a", std::numeric_limits<float>::infinity())),
                    "no finite number");
  TRM_TEST_MENTIONS(error(piece("a", 0, 9)), "the type 9 is not known");
  TRM_TEST_MENTIONS(error(piece("a") + trainer(9)), "the model_type 9 is not known");
  TRM_TEST_MENTIONS(error(piece("<unk>", 0, unknown) + trainer(3)),
                    "models of words or characters are not supported");
  TRM_TEST_MENTIONS(error(piece("a")), "the unknown piece is missing");
  TRM_TEST_MENTIONS(error(small(kBpe) + piece("a")), "the piece \"a\" is defined twice");
  TRM_TEST_MENTIONS(error(small(kBpe) + piece("u", 0, unknown)), "two unknown pieces");
  TRM_TEST_MENTIONS(error(small(kBpe) + piece("<0x41>", 0, byte)), "without byte_fallback");
  TRM_TEST_MENTIONS(error(small(kBpe) + piece("<0xG1>", 0, byte) + trainer(kBpe, true)),
                    "none of <0x00> to <0xFF>");
  TRM_TEST_MENTIONS(error(small(kBpe) + trainer(kBpe, true)), "needs the piece <0x00>");
  TRM_TEST_MENTIONS(error(small(kBpe) + sized(3, sized(2, "abc"))),
                    "normalizer_spec: 3 bytes are no table");
  TRM_TEST_MENTIONS(error(small(kBpe) + sized(5, sized(2, "abc"))), "denormalizer_spec");
}

// Whatever a file holds, reading ends with a tokenizer or an Error.
BOOST_AUTO_TEST_CASE(any_damage_to_a_model_is_an_error_or_a_model) {
  const std::string whole = small(kBpe) + sized(3, number(3, 1) + number(4, 0));
  std::size_t models = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {-1, 0x01, 0x07, 0x40, 0x80, 0xff}) {
      std::string bytes = whole;
      if (change < 0) {
        bytes.resize(at);
      } else {
        bytes[at] = static_cast<char>(bytes[at] ^ change);
      }
      try {
        const auto tokenizer = read_sentence_piece(bytes, "m.model");
        (void)tokenizer->decode(encode(*tokenizer, "ab <0x41> \xff\u2581 a"));
        ++models;
      } catch (const Error&) {
      }
    }
  }
  BOOST_TEST(models > 100U);
}

BOOST_AUTO_TEST_CASE(small_models_encode_and_decode) {
  for (const unsigned algorithm : {kBpe, kUnigram}) {
    const auto tokenizer = read_sentence_piece(small(algorithm), "m.model");
    BOOST_TEST(tokenizer->vocab_size() == 7);
    BOOST_TEST(tokenizer->end_of_document() == 1);
    // BPE merges ab first; Unigram finds ▁a b, since −1.5 − 4 < −2 − 1 does not hold.
    BOOST_TEST(encode(*tokenizer, "ab  xy a") == (Ids{2, 5, 2, 0, 6}),
               boost::test_tools::per_element());
    BOOST_TEST(tokenizer->decode(Ids{2, 5, 2, 0, 6, 1}) == "ab  \u2047  a");
    BOOST_CHECK_THROW((void)tokenizer->decode(Ids{7}), Error);
    BOOST_CHECK_THROW((void)tokenizer->decode(Ids{-1}), Error);
    BOOST_TEST(tokenizer->id_of("ab").value() == 5);
    BOOST_TEST(!tokenizer->id_of("ba"));
    const auto again = make_sentence_piece(tokenizer->definition());
    BOOST_TEST(encode(*again, "ab a") == encode(*tokenizer, "ab a"),
               boost::test_tools::per_element());
  }
  // Without an end piece, the id behind the last piece ends a document.
  const auto endless =
      read_sentence_piece(piece("<unk>", 0, unknown) + piece("a") + trainer(kBpe), "m.model");
  BOOST_TEST(endless->vocab_size() == 3);
  BOOST_TEST(endless->end_of_document() == 2);
  BOOST_TEST(endless->decode(Ids{1, 2, 1}) == "aa");
  TRM_TEST_MENTIONS(error_of([] { (void)make_sentence_piece("?"); }), "is no base64");
  BOOST_TEST(is_sentence_piece(small(kBpe)));
  BOOST_TEST(!is_sentence_piece("{\"version\": 1}"));
  BOOST_TEST(!is_sentence_piece("\x0a"));
}

// Such pieces have no index of pairs.
BOOST_AUTO_TEST_CASE(a_long_piece_changes_no_other_text) {
  const auto tokenizer =
      read_sentence_piece(small(kBpe) + piece(std::string(100'000, 'a')), "m.model");
  BOOST_TEST(encode(*tokenizer, "ab  xy a") == (Ids{2, 5, 2, 0, 6}),
             boost::test_tools::per_element());
}

// A symbol that holds a space keeps a text from being normalised in words; merges still end
// there, unless a piece joins a word to the next space.
BOOST_AUTO_TEST_CASE(merges_join_words_only_where_a_piece_does) {
  const std::string mark = "\u2581";
  const std::string pieces =
      piece("<unk>", 0, unknown) + piece(mark + "b" + mark, 0, user_defined) + piece(mark, -4) +
      piece("a", -3) + piece("b", -3) + piece("ab", -1) + piece(mark + "a", -2);
  const auto apart = read_sentence_piece(pieces + trainer(kBpe), "m.model");
  BOOST_TEST(encode(*apart, "ab b ab ab") == (Ids{2, 5, 1, 5, 2, 5}),
             boost::test_tools::per_element());
  const auto joined =
      read_sentence_piece(pieces + piece("b" + mark, -0.5F) + trainer(kBpe), "m.model");
  BOOST_TEST(encode(*joined, "ab ab") == (Ids{6, 7, 5}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_text_can_be_encoded_in_two_parts) {
  const std::string_view text = "ab a  b\xff xx xx aab   ab ";
  for (const bool space_first : {true, false}) {
    for (const bool remove_extra : {true, false}) {
      const auto tokenizer = read_sentence_piece(
          small(kBpe) +
              sized(3, number(3, space_first ? 1 : 0) + number(4, remove_extra ? 1 : 0)),
          "m.model");
      std::size_t splits = 0;
      for (std::size_t size = text.size(); size > 0; --size) {
        const std::size_t at = tokenizer->split_point(text.substr(0, size));
        if (at == 0) continue;
        ++splits;
        Ids parts;
        tokenizer->encode_part(text.substr(0, at), TextPart::first, parts);
        tokenizer->encode_part(text.substr(at), TextPart::later, parts);
        BOOST_TEST_INFO("split at " << at);
        BOOST_TEST(parts == encode(*tokenizer, text), boost::test_tools::per_element());
      }
      BOOST_TEST(splits > 10U);
    }
  }
  // Rounding of Unigram's sums depends on all of the text before.
  BOOST_TEST(read_sentence_piece(small(kUnigram), "m.model")->split_point(text) == 0U);
}
