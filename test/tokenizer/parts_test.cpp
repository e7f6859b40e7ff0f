// SPDX-License-Identifier: Apache-2.0
// What a tokenizer.json may not say is an error that names the place, for each part. Where
// texts may be split follows from the parts.
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "../../src/tokenizer/base64.hpp"
#include "../../src/tokenizer/charsmap.hpp"
#include "../../src/tokenizer/decoder.hpp"
#include "../../src/tokenizer/model.hpp"
#include "../../src/tokenizer/normalizer.hpp"
#include "../../src/tokenizer/post_processor.hpp"
#include "../../src/tokenizer/pre_tokenizer.hpp"
#include "../../src/tokenizer/trie.hpp"
#include "../support/error_of.hpp"

using namespace trireme;
using nlohmann::json;
using test::error_of;

namespace {

using Ids = std::vector<std::int32_t>;

std::string normalizer_error(const char* spec) {
  return error_of([&] { (void)make_normalizer(json::parse(spec), "t.json: normalizer"); });
}
std::string pre_tokenizer_error(const char* spec) {
  return error_of([&] { (void)make_plain_pre_tokenizer(json::parse(spec), "pre_tokenizer"); });
}
std::string post_processor_error(const char* spec) {
  return error_of([&] { (void)make_post_processor(json::parse(spec), "post_processor"); });
}
std::string decoder_error(const char* spec) {
  return error_of([&] { (void)make_decoder(json::parse(spec), "decoder"); });
}
template <class Make>
std::string model_error(Make make, const char* spec) {
  return error_of([&] { (void)make(json::parse(spec), "model"); });
}

std::string little_endian(std::uint32_t number) {
  std::string bytes;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    bytes += static_cast<char>(number >> shift & 0xff);
  }
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_normalizer_that_cannot_be_read_is_named) {
  TRM_TEST_MENTIONS(normalizer_error(R"([])"), "t.json: normalizer: an object is needed");
  TRM_TEST_MENTIONS(normalizer_error(R"({})"), "the field \"type\" is missing");
  TRM_TEST_MENTIONS(normalizer_error(R"({"type": "Cyrillic"})"), "\"Cyrillic\" is not known");
  TRM_TEST_MENTIONS(normalizer_error(R"({"type": "NFC", "form": 1})"), "the field \"form\"");
  TRM_TEST_MENTIONS(normalizer_error(R"({"type": "Strip", "strip_left": true})"),
                    "\"strip_right\" is missing");
  TRM_TEST_MENTIONS(
      normalizer_error(R"({"type": "Strip", "strip_left": 1, "strip_right": true})"),
      "\"strip_left\" must be true or false, not 1");
  TRM_TEST_MENTIONS(normalizer_error(R"({"type": "Prepend", "prepend": null})"),
                    "\"prepend\" must be a string");
  TRM_TEST_MENTIONS(
      normalizer_error(R"({"type": "Replace", "pattern": {"String": ""}, "content": "a"})"),
      "is empty");
  TRM_TEST_MENTIONS(normalizer_error(R"({"type": "Replace", "pattern": "a", "content": "a"})"),
                    "pattern: an object is needed");
  TRM_TEST_MENTIONS(normalizer_error(R"({"type": "Precompiled", "precompiled_charsmap": "?"})"),
                    "is no base64");
  TRM_TEST_MENTIONS(
      normalizer_error(R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {}]})"),
      "normalizers[1]: the field \"type\"");
  std::string deep;
  for (int i = 0; i < 10000; ++i) deep += R"({"type": "Sequence", "normalizers": [)";
  deep += R"({"type": "NFC"})";
  for (int i = 0; i < 10000; ++i) deep += "]}";
  TRM_TEST_MENTIONS(normalizer_error(deep.c_str()), "hold each other");
}

BOOST_AUTO_TEST_CASE(a_syllable_keeps_what_is_no_final_consonant) {
  std::string text = "\uac00\u11a7e\u0301\u11a7";
  make_normalizer(json::parse(R"({"type": "NFC"})"), "normalizer")->apply(text, {});
  BOOST_TEST(text == "\uac00\u11a7\u00e9\u11a7");
}

BOOST_AUTO_TEST_CASE(a_table_of_characters_is_checked) {
  const auto error = [](const std::string& blob) {
    return error_of([&] { (void)CharsMap(blob, "map"); });
  };
  const std::string unit = little_endian(0);
  TRM_TEST_MENTIONS(error(""), "map: 0 bytes are no table");
  TRM_TEST_MENTIONS(error(little_endian(1000) + unit), "a double array of 1000 bytes");
  TRM_TEST_MENTIONS(error(little_endian(3) + unit + unit), "a double array of 3 bytes");
  TRM_TEST_MENTIONS(error(little_endian(4) + unit + "abc"), "has no end");
  TRM_TEST_MENTIONS(error(little_endian(4) + unit + std::string("a\xff\0", 3)), "byte 1");
  // The root's value stands at place 1, and names a text beyond the last.
  const std::string beyond = little_endian(1 << 10 | 1 << 8) + little_endian(1U << 31 | 77);
  TRM_TEST_MENTIONS(error(little_endian(8) + beyond + std::string("a\0", 2)),
                    "a text at byte 77 of 2");
  // Offsets beyond the array lead nowhere.
  const CharsMap far(little_endian(4) + little_endian(0xfffffc00) + std::string("a\0", 2),
                     "map");
  BOOST_TEST(!far.longest("abc"));
  BOOST_TEST(!far.reaches("a"));
}

BOOST_AUTO_TEST_CASE(a_pre_tokenizer_that_cannot_be_read_is_named) {
  TRM_TEST_MENTIONS(pre_tokenizer_error(R"({"type": "Words"})"), "\"Words\" is not known");
  TRM_TEST_MENTIONS(pre_tokenizer_error(R"({"type": "Digits"})"), "\"individual_digits\"");
  TRM_TEST_MENTIONS(pre_tokenizer_error(R"({"type": "CharDelimiterSplit", "delimiter": "ab"})"),
                    "must be one character");
  TRM_TEST_MENTIONS(pre_tokenizer_error(R"({"type": "Punctuation", "behavior": "Gone"})"),
                    "\"behavior\" must be Removed");
  TRM_TEST_MENTIONS(pre_tokenizer_error(R"({"type": "FixedLength", "length": 0})"),
                    "at least 1");
  TRM_TEST_MENTIONS(pre_tokenizer_error(
                        R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "x"})"),
                    "must be always, first or never");
  TRM_TEST_MENTIONS(pre_tokenizer_error(R"({"type": "Metaspace", "replacement": "_",
                              "prepend_scheme": "always", "add_prefix_space": false})"),
                    "contradicts");
}

BOOST_AUTO_TEST_CASE(a_vocabulary_is_checked) {
  const auto word_level = [](const char* vocab) { return model_error(make_word_level, vocab); };
  TRM_TEST_MENTIONS(word_level(R"({"vocab": {}, "unk_token": "u"})"), "vocabulary is empty");
  TRM_TEST_MENTIONS(word_level(R"({"vocab": [], "unk_token": "u"})"), "must be an object");
  TRM_TEST_MENTIONS(word_level(R"({"vocab": {"a": 0, "b": 0}, "unk_token": "u"})"),
                    "the id 0 stands for both");
  TRM_TEST_MENTIONS(word_level(R"({"vocab": {"a": -1}, "unk_token": "u"})"), "the id -1");
  TRM_TEST_MENTIONS(word_level(R"({"vocab": {"a": 4000000000}, "unk_token": "u"})"),
                    "the id 4000000000");
  TRM_TEST_MENTIONS(word_level(R"({"vocab": {"a": "0"}, "unk_token": "u"})"), "the id \"0\"");
  TRM_TEST_MENTIONS(word_level(R"({"vocab": {"a": 0}})"), "\"unk_token\" is missing");
  TRM_TEST_MENTIONS(model_error(make_word_piece, R"({"vocab": {"a": 0}, "unk_token": "u",
                                                     "continuing_subword_prefix": "##"})"),
                    "\"max_input_chars_per_word\" is missing");
  const auto unigram = [](const char* spec) { return model_error(make_unigram, spec); };
  TRM_TEST_MENTIONS(unigram(R"({"vocab": []})"), "vocabulary is empty");
  TRM_TEST_MENTIONS(unigram(R"({"vocab": [["a"]]})"), "model: vocab[0]");
  TRM_TEST_MENTIONS(unigram(R"({"vocab": [["a", 0], ["a", "b"]]})"), "model: vocab[1]");
  TRM_TEST_MENTIONS(unigram(R"({"vocab": [["a", 0]], "unk_id": 1})"),
                    "\"unk_id\" is not in the vocabulary");
}

// Like the peers' models, ours need the unknown token only where they use it.
BOOST_AUTO_TEST_CASE(a_missing_unknown_token_is_named_at_its_first_use) {
  const auto encode_b = [](const Model& model) {
    Ids ids;
    model.encode("a", ids);
    BOOST_TEST(ids == Ids{0}, boost::test_tools::per_element());
    return error_of([&] { model.encode("b", ids); });
  };
  const json words = json::parse(R"({"vocab": {"a": 0}, "unk_token": "[UNK]"})");
  TRM_TEST_MENTIONS(encode_b(*make_word_level(words, "model")), "\"[UNK]\"");
  const json pieces = json::parse(R"({"vocab": {"a": 0}, "unk_token": "[UNK]",
      "continuing_subword_prefix": "##", "max_input_chars_per_word": 9})");
  TRM_TEST_MENTIONS(encode_b(*make_word_piece(pieces, "model")), "\"[UNK]\"");
  const json unigram = json::parse(R"({"vocab": [["a", -1]]})");
  TRM_TEST_MENTIONS(encode_b(*make_unigram(unigram, "model")), "no unk_id");
}

BOOST_AUTO_TEST_CASE(post_processors) {
  const auto surround = [](const char* spec) {
    Surroundings ids{{7}, {8}};
    make_post_processor(json::parse(spec), "post_processor")->surround(ids);
    return std::pair(ids.before, ids.after);
  };
  BOOST_CHECK((surround(R"({"type": "BertProcessing", "sep": ["s", 2], "cls": ["c", 1]})") ==
               std::pair(Ids{1, 7}, Ids{8, 2})));
  BOOST_CHECK((surround(R"({"type": "ByteLevel", "trim_offsets": true})") ==
               std::pair(Ids{7}, Ids{8})));
  const char* const part = R"({"type": "TemplateProcessing", "single":
      [{"SpecialToken": {"id": "c", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [], "special_tokens": {"c": {"id": "c", "ids": [4, 5], "tokens": ["c", "d"]}}})";
  BOOST_CHECK((surround(part) == std::pair(Ids{4, 5, 7}, Ids{8})));
  BOOST_CHECK(
      (surround(fmt::format(R"({{"type": "Sequence", "processors": [{}, {}]}})", part, part)
                    .c_str()) == std::pair(Ids{4, 5, 4, 5, 7}, Ids{8})));
  BOOST_TEST(!make_post_processor(nullptr, "post_processor"));
  TRM_TEST_MENTIONS(post_processor_error(R"({"type": "X"})"), "\"X\" is not known");
  TRM_TEST_MENTIONS(post_processor_error(R"({"type": "BertProcessing", "sep": ["s"]})"),
                    "\"cls\" is missing");
  TRM_TEST_MENTIONS(
      post_processor_error(R"({"type": "BertProcessing", "sep": ["s"], "cls": ["c", -1]})"),
      "a token id is needed");
  const auto template_error = [](const char* single) {
    return post_processor_error(
        fmt::format(R"({{"type": "TemplateProcessing", "single": {}, "special_tokens": {{}}}})",
                    single)
            .c_str());
  };
  TRM_TEST_MENTIONS(template_error(R"([{"SpecialToken": {"id": "c", "type_id": 0}}])"),
                    "lacks \"c\"");
  TRM_TEST_MENTIONS(template_error(R"([{"Sequence": {"id": "B", "type_id": 0}}])"),
                    "the second of two texts");
  TRM_TEST_MENTIONS(template_error(R"([])"), "lacks the text itself");
  TRM_TEST_MENTIONS(template_error(R"(["$A"])"), "must be a list of SpecialToken");
}

BOOST_AUTO_TEST_CASE(decoders) {
  const auto decode = [](const char* spec, std::vector<std::string> tokens) {
    make_decoder(json::parse(spec), "decoder")->apply(tokens);
    std::string text;
    for (const std::string& token : tokens) text += token;
    return text;
  };
  BOOST_TEST(decode(R"({"type": "ByteLevel"})", {"\xc4\xa0"
                                                 "a",
                                                 "\xc3\xa9"}) == " a\xe9");
  BOOST_TEST(decode(R"({"type": "ByteFallback"})", {"<0xC3>", "<0xA9>", "x", "<0xC3>"}) ==
             "\xc3\xa9x\xef\xbf\xbd");
  BOOST_TEST(decode(R"({"type": "Strip", "content": "a", "start": 2, "stop": 1})",
                    {"aaab", "a", "baa"}) == "abba");
  BOOST_TEST(decode(R"({"type": "BPEDecoder", "suffix": "</w>"})", {"a", "b</w>", "c</w>"}) ==
             "ab c");
  BOOST_TEST(decode(R"({"type": "WordPiece", "prefix": "##", "cleanup": true})",
                    {"don", "##e", ".", "do not"}) == "done. don't");
  TRM_TEST_MENTIONS(decoder_error(R"({"type": "CTC"})"), "\"CTC\" is for the output of speech");
  TRM_TEST_MENTIONS(decoder_error(R"({"type": "X"})"), "\"X\" is not known");
  TRM_TEST_MENTIONS(decoder_error(R"({"type": "BPEDecoder", "suffix": ""})"), "is empty");
  TRM_TEST_MENTIONS(decoder_error(R"({"type": "Sequence", "decoders": [null]})"),
                    "decoders[0]: an object is needed");
}

BOOST_AUTO_TEST_CASE(texts_may_be_split_where_no_part_looks_across) {
  const auto separates = [](const char* spec, char32_t before, char32_t after) {
    return make_normalizer(json::parse(spec), "normalizer")->separates(before, after);
  };
  BOOST_TEST(separates(R"({"type": "NFC"})", 'a', 'b'));
  BOOST_TEST(!separates(R"({"type": "NFC"})", 'e', 0x301));
  BOOST_TEST(
      !separates(R"({"type": "Strip", "strip_left": true, "strip_right": true})", 'a', ' '));
  const char* const replace =
      R"({"type": "Replace", "pattern": {"String": "ab"}, "content": "c"})";
  BOOST_TEST(!separates(replace, 'a', 'b'));
  BOOST_TEST(separates(replace, 'b', 'a'));
  // Lower case makes a match of the second step.
  const std::string lowered = fmt::format(
      R"({{"type": "Sequence", "normalizers": [{{"type": "Lowercase"}}, {}]}})", replace);
  BOOST_TEST(!separates(lowered.c_str(), 'A', 'B'));
  BOOST_TEST(separates(lowered.c_str(), 'X', 'Y'));
}

BOOST_AUTO_TEST_CASE(a_trie_finds_its_keys_alone) {
  std::vector<std::string> keys{"a", "ab", "abc", "b", std::string("\0\x01", 2), "\xff\xff"};
  for (int i = 0; i < 3000; ++i) keys.push_back(fmt::format("key {}", i * 7919 % 65536));
  std::vector<std::pair<std::string_view, std::int32_t>> values;
  for (const std::string& key : keys) {
    values.emplace_back(key, static_cast<std::int32_t>(values.size()));
  }
  const Trie trie(values);
  for (const auto& [key, value] : values) BOOST_TEST(trie.value_of(key) == value);
  BOOST_TEST(trie.value_of("key") == -1);
  BOOST_TEST(trie.value_of("abcd") == -1);
  BOOST_TEST(trie.value_of(std::string(1, '\1')) == -1);
  BOOST_TEST(trie.longest("abd") == 2U);
  BOOST_TEST(Trie().longest("a") == 0U);
}
