// SPDX-License-Identifier: Apache-2.0
// Reading in blocks of any size gives the documents of one pass over the whole text.
#include <filesystem>
#include <fstream>
#include <random>

#include <boost/test/unit_test.hpp>

#include "trireme/data/document_joiner.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme;
using test::error_of;
using test::TemporaryFolder;

namespace {

struct Result {
  std::vector<std::string> documents;
  std::int64_t dropped = 0;
  std::string hash;
};

/// The definition of a split: one pass from left to right over a text in memory.
Result split_by_definition(const std::string& text, const std::string& separator) {
  Result result;
  const auto keep = [&](const std::string& document) {
    if (!document.empty()) result.documents.push_back(document);
  };
  std::size_t at = 0;
  while (!separator.empty()) {
    const std::size_t found = text.find(separator, at);
    if (found == std::string::npos) break;
    if (found == at) ++result.dropped;
    keep(text.substr(at, found - at));
    at = found + separator.size();
  }
  keep(text.substr(at));
  return result;
}

/// All documents of a token file whose tokens are bytes.
Result read_back(const std::string& path) {
  const TokenFile file(path);
  Result result;
  result.hash = file.source_hash();
  for (std::int64_t d = 0; d < file.documents(); ++d) {
    const std::int64_t begin = file.document_start(d);
    std::vector<std::int32_t> tokens(
        static_cast<std::size_t>(file.document_start(d + 1) - begin));
    file.read(begin, tokens);
    BOOST_REQUIRE(tokens.back() == 256);
    result.documents.push_back(ByteTokenizer().decode(tokens));
    BOOST_REQUIRE(result.documents.back().size() == tokens.size() - 1);  // no end inside
  }
  return result;
}

Result prepare(const std::vector<std::string>& paths, const std::string& output,
               const TextFormat& format, std::int64_t block_bytes,
               const Tokenizer& tokenizer = ByteTokenizer()) {
  TextBlocks blocks(find_inputs(paths, format), format, tokenizer, block_bytes);
  TokenFileWriter writer(output, tokenizer);
  DocumentJoiner joiner(blocks, writer);
  for (std::int64_t k = 0; k < blocks.count(); ++k) {
    blocks.read_all(k, [&](TextPieces&& pieces) { joiner.add(k, pieces); });
  }
  writer.finish(joiner.source_hash());
  Result result = read_back(output);
  result.dropped = joiner.report().empty;
  return result;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A text of the separators' letters, so that separators are many, some only begun.
std::string random_text(std::mt19937& random, std::size_t n, const std::string& letters) {
  std::string text;
  while (text.size() < n) {
    const char letter = letters[random() % letters.size()];
    text.append(1 + random() % 4, letter);
  }
  return text;
}

constexpr std::array<std::int64_t, 8> kBlockBytes{1, 2, 3, 7, 64, 1000, 4096, 4 << 20};

}  // namespace

BOOST_AUTO_TEST_CASE(any_block_size_gives_the_documents_of_one_pass) {
  const TemporaryFolder folder;
  std::mt19937 random(1);
  for (const std::string separator :
       {"\n", "\n\n", "aa", "aba", "abab", "aabaa", "aaaaaaa", "abcabcab", "\n---\n", ""}) {
    for (const std::size_t size : {1U, 5U, 40U, 400U}) {
      const std::string text =
          random_text(random, size, separator.starts_with('\n') ? "\n-x" : "aaabbc");
      const Result expected = split_by_definition(text, separator);
      if (expected.documents.empty()) continue;
      write(folder / "in.txt", text);
      std::string file;
      for (const std::int64_t block : kBlockBytes) {
        if (size > 100 && block == 2) continue;  // sizes 1 and 3 suffice, with so many files
        const Result result =
            prepare({folder / "in.txt"}, folder / "out.h5", {.separator = separator}, block);
        BOOST_TEST_INFO("blocks of " << block << ", separator \"" << separator << "\"");
        BOOST_REQUIRE(result.documents == expected.documents);
        BOOST_TEST(result.dropped == expected.dropped);
        if (file.empty()) file = bytes_of(folder / "out.h5");
        BOOST_TEST((bytes_of(folder / "out.h5") == file));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(long_chains_of_separators_across_windows) {
  const TemporaryFolder folder;
  const std::string text = "x" + std::string(200'001, '\n') + "y" + std::string(70'000, 'z');
  write(folder / "in.txt", text);
  const Result expected = split_by_definition(text, "\n\n");
  for (const std::int64_t block : {10'000, 65'536, 65'537, 150'001}) {
    const Result result =
        prepare({folder / "in.txt"}, folder / "out.h5", {.separator = "\n\n"}, block);
    BOOST_TEST((result.documents == expected.documents));
    BOOST_TEST(result.dropped == expected.dropped);
  }
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_text_pass_through) {
  const TemporaryFolder folder;
  std::mt19937 random(2);
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += static_cast<char>(random() % 256);
  write(folder / "in.txt", text);
  const Result result =
      prepare({folder / "in.txt"}, folder / "out.h5", {.as_it_is = true}, 4099);
  BOOST_REQUIRE(result.documents.size() == 1U);
  BOOST_TEST((result.documents[0] == text));
}

BOOST_AUTO_TEST_CASE(several_files_end_their_documents) {
  const TemporaryFolder folder;
  write(folder / "a.txt", "one--two");
  write(folder / "b.txt", "");
  write(folder / "c.txt", "--three--");
  write(folder / "d.jsonl", "{\"text\": \"four--\"}");
  const std::vector<std::string> paths{folder / "a.txt", folder / "b.txt", folder / "c.txt",
                                       folder / "d.jsonl"};
  std::vector<std::string> hashes;
  for (const std::int64_t block : {1, 3, 1000}) {
    const Result result = prepare(paths, folder / "out.h5", {.separator = "--"}, block);
    BOOST_TEST(result.documents == (std::vector<std::string>{"one", "two", "three", "four--"}),
               boost::test_tools::per_element());
    BOOST_TEST(result.dropped == 1);
    hashes.push_back(result.hash);
  }
  BOOST_TEST(hashes[0] == hashes[1]);
  BOOST_TEST(hashes[0] == hashes[2]);
  BOOST_TEST(hashes[0].size() == 16U);
  const auto hash_of = [&](const std::vector<std::string>& inputs) {
    return prepare(inputs, folder / "out.h5", {}, 5).hash;
  };
  BOOST_TEST(hash_of(paths) == hashes[0]);  // a hash of the contents alone
  BOOST_TEST(hash_of({paths[2], paths[1], paths[0], paths[3]}) != hashes[0]);
  write(folder / "a.txt", "one--twp");
  BOOST_TEST(hash_of(paths) != hashes[0]);
}

BOOST_AUTO_TEST_CASE(json_lines) {
  const TemporaryFolder folder;
  const std::string text =
      "{\"text\": \"plain\"}\n"
      "\n"
      "  {\"id\": [1, {\"text\": 2}], \"text\": \"tab\\t quote\\\" slash\\\\ \\u00e9 "
      "\\ud83d\\ude00 é\\n\", \"z\": null}  \r\n"
      " \t\r\n"
      "{\"text\": \"\"}\n"
      "{\"text\": \"\\u0000nul\"}\n"
      "{\"text\": \"last, without newline\"}";
  const std::vector<std::string> expected{
      "plain", "tab\t quote\" slash\\ \xc3\xa9 \xf0\x9f\x98\x80 \xc3\xa9\n",
      std::string("\0nul", 4), "last, without newline"};
  std::string file;
  for (const std::string& whole : {text, text + "\n", "\xef\xbb\xbf" + text}) {
    write(folder / "in.jsonl", whole);
    file.clear();
    for (const std::int64_t block : kBlockBytes) {
      const Result result = prepare({folder / "in.jsonl"}, folder / "out.h5", {}, block);
      BOOST_TEST(result.documents == expected, boost::test_tools::per_element());
      BOOST_TEST(result.dropped == 1);
      if (file.empty()) file = bytes_of(folder / "out.h5");
      BOOST_TEST((bytes_of(folder / "out.h5") == file));
    }
  }
}

BOOST_AUTO_TEST_CASE(json_lines_longer_than_blocks_and_buffers) {
  const TemporaryFolder folder;
  std::vector<std::string> expected;
  std::string text;
  for (const std::size_t n : {3'000'000U, 1U, 1'048'576U, 10U}) {
    expected.emplace_back(n, static_cast<char>('a' + expected.size()));
    text += "{\"body\": \"" + expected.back() + "\"}\n";
  }
  write(folder / "in.txt", text);
  for (const std::int64_t block : {100'000, 1 << 20, 4 << 20}) {
    const Result result = prepare({folder / "in.txt"}, folder / "out.h5",
                                  {.keys = {"body"}, .all_jsonl = true}, block);
    BOOST_TEST((result.documents == expected));
  }
}

BOOST_AUTO_TEST_CASE(bad_json_names_its_line) {
  const TemporaryFolder folder;
  const std::string good = "{\"text\": \"good\"}\n";
  const auto error = [&](const std::string& line, std::int64_t block) {
    write(folder / "in.jsonl", good + "\n" + good + line + "\n" + good);
    const std::string message =
        error_of([&] { (void)prepare({folder / "in.jsonl"}, folder / "out.h5", {}, block); });
    TRM_TEST_MENTIONS(message, "in.jsonl, line 4: ");
    BOOST_TEST(!std::filesystem::exists(folder / "out.h5"));
    BOOST_TEST(!std::filesystem::exists(temporary_name(folder / "out.h5", process_mark())));
    return message;
  };
  for (const std::int64_t block : {1, 10, 4 << 20}) {
    TRM_TEST_MENTIONS(error("{\"text\": \"cut", block), "not valid JSON");
    TRM_TEST_MENTIONS(error("{\"text\": \"a\", \"b\": }", block), "not valid JSON");
    TRM_TEST_MENTIONS(error("{\"text\": \"a\"} {\"text\": \"b\"}", block),
                      "two JSON objects on one line");
    TRM_TEST_MENTIONS(error("{\"text\": \"a\", \"x\": NaN}", block), "NaN is not a number");
    TRM_TEST_MENTIONS(error("{\"text\": \"NaN\", \"x\": -Infinity}", block),
                      "Infinity is not a number");
    TRM_TEST_MENTIONS(error("{\"text\": \"}{\",", block), "does not end on its line");
    TRM_TEST_MENTIONS(error("[", block), "jq -c '.[]' FILE");
    TRM_TEST_MENTIONS(error("[{\"text\": 1},", block), "a JSON array");
    TRM_TEST_MENTIONS(error("{\"text\": \"\xff\"}", block), "not valid JSON");
    TRM_TEST_MENTIONS(error("some text", block), "not valid JSON");
    TRM_TEST_MENTIONS(error("[\"text\"]", block), "not a JSON object");
    TRM_TEST_MENTIONS(error("{\"txt\": \"a\", \"i\\u001bd\": 1}", block),
                      "no key \"text\"; the keys here are \"txt\", \"i\\x1bd\"; --json-keys");
    TRM_TEST_MENTIONS(error("{}", block), "the object is empty");
    TRM_TEST_MENTIONS(error("{\"text\": 5}", block), "\"text\" is not a text, but a number");
    TRM_TEST_MENTIONS(error("{\"text\": null}", block), "\"text\" is not a text, but null");
  }
}

BOOST_AUTO_TEST_CASE(inputs_that_cannot_be) {
  const TemporaryFolder folder;
  const auto error = [](const std::string& path) {
    return error_of([&] { (void)find_inputs({path}, {}); });
  };
  TRM_TEST_MENTIONS(error(folder / "none.txt"), "none.txt: cannot open: No such file");
  TRM_TEST_MENTIONS(error("/dev/null"), "not a regular file");
  write(folder / "a.jsonl.br", "x");
  TRM_TEST_MENTIONS(error(folder / "a.jsonl.br"), "compressed");
  TRM_TEST_MENTIONS(error_of([] { (void)find_inputs({}, {}); }), "no input");
  write(folder / "a.txt", "0123456789");
  const TextFormat format;
  const ByteTokenizer tokenizer;
  TextBlocks blocks(find_inputs({folder / "a.txt"}, format), format, tokenizer, 4);
  std::filesystem::resize_file(folder / "a.txt", 7);
  BOOST_TEST(blocks.count() == 3);
  TRM_TEST_MENTIONS(error_of([&] { (void)blocks.read(2); }), "shorter");
}

namespace {

/// Tokens are whole words and the spaces between: a divided word would give other tokens.
class WordTokenizer : public ByteTokenizer {
 public:
  void encode_part(std::string_view text, TextPart /*part*/,
                   std::vector<std::int32_t>& to) const override {
    std::size_t at = 0;
    while (at < text.size()) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      if (end > at) to.push_back(static_cast<std::int32_t>((end - at) % 200));  // its length
      if (end < text.size()) to.push_back(' ');
      at = end + 1;
    }
  }
  [[nodiscard]] std::size_t split_point(std::string_view text) const override {
    return text.rfind(' ') + 1;  // 0 without a space
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(text_is_cut_only_where_the_tokenizer_allows) {
  const TemporaryFolder folder;
  const WordTokenizer tokenizer;
  std::mt19937 random(3);
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::string(random() % 9, 'w') + " ";
  text += "wwww|" + text;
  write(folder / "in.txt", text);
  const TextFormat format{.separator = "|"};
  const Result expected =
      prepare({folder / "in.txt"}, folder / "whole.h5", format, 1 << 20, tokenizer);
  BOOST_TEST(expected.documents.size() == 2U);
  for (const std::int64_t block : {1, 3, 50}) {
    const Result result =
        prepare({folder / "in.txt"}, folder / "out.h5", format, block, tokenizer);
    BOOST_TEST((result.documents == expected.documents));
  }
}

BOOST_AUTO_TEST_CASE(a_text_without_a_place_to_split_is_read_whole) {
  // Longer than the windows in which a place is looked for.
  const TemporaryFolder folder;
  const WordTokenizer tokenizer;
  TextFormat format{.separator = "||"};
  const std::string word(300'000, 'w');
  for (const std::string& text :
       {word, "w w" + word + " w", word + "|||" + word + "||||" + word}) {
    write(folder / "in.txt", text);
    (void)prepare({folder / "in.txt"}, folder / "whole.h5", format, 1 << 20, tokenizer);
    for (const std::int64_t block : {30'011, 140'000}) {
      (void)prepare({folder / "in.txt"}, folder / "out.h5", format, block, tokenizer);
      BOOST_TEST((bytes_of(folder / "out.h5") == bytes_of(folder / "whole.h5")));
    }
  }
  format.max_unsplit = 1 << 17;
  TRM_TEST_MENTIONS(error_of([&] {
                      (void)prepare({folder / "in.txt"}, folder / "out.h5", format, 140'000,
                                    tokenizer);
                    }),
                    "cannot split the text anywhere");
}
