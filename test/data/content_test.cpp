// SPDX-License-Identifier: Apache-2.0
// A file's content decides what becomes of the file, whatever its name says.
#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "trireme/data/document_joiner.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

using namespace trireme;
using namespace std::string_literals;
using test::error_of;
using test::TemporaryFolder;

namespace {

class Inputs {
 public:
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  [[nodiscard]] TextInput found(const std::string& name, const std::string& bytes) const {
    return find_inputs({write(name, bytes)}, {}).front();
  }
  [[nodiscard]] std::string refused(const std::string& name, const std::string& bytes) const {
    const std::string path = write(name, bytes);
    const TextInput taken = find_inputs({path}, {.as_it_is = true}).front();
    BOOST_TEST((!taken.jsonl && taken.start == 0));
    return error_of([&] { (void)find_inputs({path}, {}); });
  }

  struct Result {
    std::vector<std::string> documents;
    std::string warning;
  };
  /// The documents of files, read in blocks of every size.
  [[nodiscard]] Result documents(const std::vector<std::string>& paths,
                                 const TextFormat& format) const {
    Result result;
    for (const std::int64_t block : {1, 2, 3, 4, 5, 1000}) {
      const ByteTokenizer tokenizer;
      TextBlocks blocks(find_inputs(paths, format), format, tokenizer, block);
      TokenFileWriter writer(folder_ / "out.h5", tokenizer);
      DocumentJoiner joiner(blocks, writer);
      for (std::int64_t k = 0; k < blocks.count(); ++k) {
        blocks.read_all(k, [&](TextPieces&& pieces) { joiner.add(k, pieces); });
      }
      result.warning = joiner.check_separator();
      writer.finish(joiner.source_hash());
      const TokenFile file(folder_ / "out.h5");
      std::vector<std::string> documents;
      for (std::int64_t d = 0; d < file.documents(); ++d) {
        const auto begin = file.document_start(d);
        std::vector<std::int32_t> tokens(
            static_cast<std::size_t>(file.document_start(d + 1) - begin));
        file.read(begin, tokens);
        documents.push_back(tokenizer.decode(tokens));
      }
      if (result.documents.empty()) result.documents = documents;
      BOOST_TEST(documents == result.documents, boost::test_tools::per_element());
    }
    return result;
  }

 private:
  TemporaryFolder folder_;
};

/// Text in UTF-16, low byte first unless `big`.
std::string utf16(const std::string& text, bool big) {
  std::string wide;
  for (const char c : text) wide += big ? "\0"s + c : c + "\0"s;
  return wide;
}

}  // namespace

BOOST_AUTO_TEST_CASE(other_formats_are_named) {
  const Inputs inputs;
  const auto check = [&](const std::string& bytes, const std::string& part) {
    for (const char* name : {"a", "a.txt", "a.jsonl"}) {
      TRM_TEST_MENTIONS(inputs.refused(name, bytes), part);
    }
  };
  const std::string more(400, 'x');
  check("PK\x03\x04" + more, "zip-compressed");
  check("\x04\x22\x4d\x18" + more, "lz4-compressed");
  check("PAR1" + more, "Parquet");
  check("%PDF-1.7\n" + more, "PDF");
  check("ARROW1\0\0"s + more, "Arrow");
  check("\x89HDF\r\n\x1a\n" + more, "data_path");
  check("trireme token file, version 3\n" + more, "data_path");
  check(std::string(257, 'n') + "ustar" + more, "a tar archive");
  for (const bool big : {false, true}) {
    check(utf16("Plain old text, but wide.", big), "UTF-16 text; convert it to UTF-8");
    check((big ? "\xfe\xff" : "\xff\xfe") + utf16("日本", big), "UTF-16");
  }
  check("\xff\xfe\0\0x\0\0\0"s, "UTF-32");
  check("x\0\0\0y\0\0\0z\0\0\0"s, "UTF-32");
  check("\0\0\0x\0\0\0y\0\0\0z"s, "UTF-32");
}

BOOST_AUTO_TEST_CASE(names_refuse_no_text) {
  const Inputs inputs;
  for (const char* name : {"a.gz", "a.h5", "a.zip", "a.parquet"}) {
    BOOST_TEST(!inputs.found(name, "Just text.").jsonl);
  }
  for (const std::string& bytes :
       {""s, "x"s, "BZh and so on"s, "PK"s, std::string(100, '\0'), "{"s, "[1] see below\n"s,
        "{ braces }\n"s, "{\n  int x;\n"s, "[[\"a\"]]\n"s, "{}\nx"s.substr(2)}) {
    BOOST_TEST(!inputs.found("a.txt", bytes).jsonl, bytes);
  }
}

BOOST_AUTO_TEST_CASE(json_lines_are_known_by_content_and_by_name) {
  const Inputs inputs;
  const std::string line = "{\"text\": \"one\"}\n";
  for (const std::string name : {"a", "a.txt", "a.JSONL", "a.json"}) {
    BOOST_TEST(inputs.found(name, line).jsonl);
    BOOST_TEST(inputs.found(name, "\n \r\n" + line).jsonl);
    BOOST_TEST(inputs.found(name, "\xef\xbb\xbf" + line).jsonl);
    BOOST_TEST(inputs.found(name, "\xef\xbb\xbf" + line).start == 3);
    BOOST_TEST(inputs.found(name, "{\"text\": NaN}\n").jsonl);  // its error names the line
    const std::string longest = "{\"text\": \"" + std::string(20 << 20, 'x') + "\"}\n";
    if (name == "a.txt") BOOST_TEST(inputs.found(name, longest).jsonl);
  }
  for (const char* name : {"a.Jsonl", "a.ndjson", "a.JSON"}) {
    BOOST_TEST(inputs.found(name, "no JSON").jsonl);
  }
  for (const char* name : {"a.txt", "a.json"}) {
    TRM_TEST_MENTIONS(inputs.refused(name, "[\n  {\n    \"text\": \"x\"\n  }\n]\n"),
                      "jq -c '.[]'");
    TRM_TEST_MENTIONS(inputs.refused(name, "[{\"text\": \"x\"}]\n"), "a JSON array");
    TRM_TEST_MENTIONS(inputs.refused(name, "{\n  \"text\": \"x\"\n}\n"), "over many lines");
  }
}

BOOST_AUTO_TEST_CASE(a_byte_order_mark_is_no_text) {
  const Inputs inputs;
  const std::string mark = "\xef\xbb\xbf";
  const auto a = inputs.write("a.txt", mark + "one--two--");
  const auto b = inputs.write("b.txt", mark + "--three" + mark);
  const auto c = inputs.write("c.jsonl", mark + "{\"text\": \"four\"}");
  const auto found = inputs.documents({a, b, c}, {.separator = "--"});
  BOOST_TEST(
      found.documents == (std::vector<std::string>{"one", "two", "three" + mark, "four"}),
      boost::test_tools::per_element());
  const auto raw = inputs.documents({a}, {.as_it_is = true, .separator = "--"});
  BOOST_TEST(raw.documents == (std::vector<std::string>{mark + "one", "two"}),
             boost::test_tools::per_element());
  const auto twice = inputs.write("d.txt", mark + mark + "five");
  BOOST_TEST(inputs.documents({twice}, {.separator = mark}).documents ==
                 (std::vector<std::string>{"five"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(separators_that_never_stand_are_told) {
  const Inputs inputs;
  const auto with = inputs.write("with.txt", "one\n\ntwo");
  const auto without = inputs.write("without.txt", "three");
  const auto windows = inputs.write("windows.txt", "four\r\n\r\nfive\r\n");
  const auto lines = inputs.write("lines.txt", "{\"text\": \"six\"}\n\n");
  const auto empty = inputs.write("empty.txt", "");
  const TextFormat format{.separator = "\n\n"};
  BOOST_TEST(inputs.documents({with, lines, empty}, format).warning.empty());
  TRM_TEST_MENTIONS(inputs.documents({with, without}, format).warning, "in 1 of 2 files");
  TRM_TEST_MENTIONS(inputs.documents({with, without}, format).warning, "without.txt is one");
  TRM_TEST_MENTIONS(inputs.documents({lines}, format).warning, "has no effect");
  const auto error = [&](const std::vector<std::string>& paths) {
    return error_of([&] { (void)inputs.documents(paths, format); });
  };
  TRM_TEST_MENTIONS(error({without, lines}), "stands nowhere in the input");
  TRM_TEST_MENTIONS(error({without}), "leave --document-separator out");
  const TextFormat crlf{.separator = "\r\n\r\n"};
  BOOST_TEST(inputs.documents({windows}, crlf).documents.size() == 2U);
  BOOST_TEST(inputs.documents({windows}, {}).documents.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_separator_of_other_line_ends_is_told) {
  const Inputs inputs;
  const auto with = inputs.write("with.txt", "one\n\ntwo");
  const auto windows = inputs.write("windows.txt", "four\r\n\r\nfive\r\n");
  const TextFormat format{.separator = "\n\n"};
  const ByteTokenizer tokenizer;
  TextBlocks blocks(find_inputs({with, windows}, format), format, tokenizer);
  const TemporaryFolder folder;
  TokenFileWriter writer(folder / "out.h5", tokenizer);
  DocumentJoiner joiner(blocks, writer);
  for (std::int64_t k = 0; k < blocks.count(); ++k) joiner.add(k, blocks.read(k));
  TRM_TEST_MENTIONS(error_of([&] { (void)joiner.check_separator(); }), "lines end in \\r\\n");
}
