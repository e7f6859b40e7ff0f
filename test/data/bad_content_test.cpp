// SPDX-License-Identifier: Apache-2.0
// What cannot be used stops the work by file and line, or is left out, counted and named.
#include <filesystem>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "prepare_case.hpp"

using namespace trireme;
using namespace std::string_literals;
using test::error_of;
using test::prepare_files;
using test::PrepareCase;
using test::TemporaryFolder;
using test::write_file;
using Texts = std::vector<std::string>;

namespace {

std::int64_t count_of(const JoinReport& report, Trouble trouble) {
  return report.troubles[static_cast<std::size_t>(trouble)];
}

}  // namespace

BOOST_AUTO_TEST_CASE(bad_lines_stop_or_are_left_out) {
  struct Bad {
    std::string line;
    Trouble trouble;
    std::string words;
  };
  const std::vector<Bad> bads{
      {"{\"text\": \"\xff\"}", Trouble::utf8, "the line is not UTF-8"},
      {R"({"text": "\ud800 x"})", Trouble::surrogate, "half of a surrogate pair"},
      {R"({"text": "\udc00"})", Trouble::surrogate, "half of a surrogate pair"},
      {R"({"text": "\ud83d\u0041"})", Trouble::surrogate, "half of a surrogate pair"},
      {"{\"txt\": \"a\"}", Trouble::key, "no key \"text\""},
      {"{\"text\": 5}", Trouble::key, "not a text, but a number"},
      {"{\"text\": \"cut", Trouble::json, "not valid JSON"},
      {"[1]", Trouble::json, "not a JSON object"},
  };
  const TemporaryFolder folder;
  const std::string good = "{\"text\": \"good\"}\n";
  for (const Bad& bad : bads) {
    const auto path =
        write_file(folder / "in.jsonl", good + "\n" + good + bad.line + "\n" + good);
    for (const std::int64_t block : {7, 1000}) {
      PrepareCase with{.block = block};
      const std::string message =
          error_of([&] { (void)prepare_files({path}, folder / "out.h5", with); });
      TRM_TEST_MENTIONS(message, "in.jsonl, line 4: ");
      TRM_TEST_MENTIONS(message, bad.words);
      TRM_TEST_MENTIONS(message, "--on-error skip");
      with.join.skip_faults = true;
      const auto result = prepare_files({path}, folder / "out.h5", with);
      BOOST_TEST(result.documents == (Texts{"good", "good", "good"}),
                 boost::test_tools::per_element());
      BOOST_TEST(count_of(result.report, bad.trouble) == 1);
      BOOST_REQUIRE(result.report.places.size() == 1U);
      TRM_TEST_MENTIONS(result.report.places[0], "in.jsonl, line 4: ");
      BOOST_TEST(result.report.blank_lines == 1);
    }
  }
}

BOOST_AUTO_TEST_CASE(the_first_ten_places_are_named) {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 1; i <= 300; ++i) lines += i % 2 == 0 ? "oops\n" : "{\"text\": \"a\"}\n";
  const auto path = write_file(folder / "in.jsonl", lines);
  for (const std::int64_t block : {50, 100'000}) {
    const auto result = prepare_files({path}, folder / "out.h5",
                                      {.join = {.skip_faults = true}, .block = block});
    BOOST_TEST(result.documents.size() == 150U);
    BOOST_TEST(count_of(result.report, Trouble::json) == 150);
    BOOST_REQUIRE(result.report.places.size() == 10U);
    TRM_TEST_MENTIONS(result.report.places[9], "line 20:");
  }
}

BOOST_AUTO_TEST_CASE(plain_text_must_be_utf8) {
  const TemporaryFolder folder;
  const std::string text = "one \xc3\xa9|tw\xc3|three|\xe4\xb8|\nfo\xffur|f\xf0\x9f\x98\x80ve";
  const auto path = write_file(folder / "in.txt", text);
  for (const std::int64_t block : {1, 2, 3, 5, 1000}) {
    PrepareCase with{.format = {.separator = "|"}, .block = block};
    const std::string message =
        error_of([&] { (void)prepare_files({path}, folder / "out.h5", with); });
    TRM_TEST_MENTIONS(message, "in.txt, line 1: the text is not UTF-8 at byte 0xc3");
    TRM_TEST_MENTIONS(message, "--format text");
    with.join.skip_faults = true;
    const auto result = prepare_files({path}, folder / "out.h5", with);
    BOOST_TEST(result.documents == (Texts{"one \xc3\xa9", "three", "f\xf0\x9f\x98\x80ve"}),
               boost::test_tools::per_element());
    BOOST_TEST(result.report.places.size() == 3U);
    TRM_TEST_MENTIONS(result.report.places[2], "line 2: the text is not UTF-8 at byte 0xff");
    with.format.as_it_is = true;
    BOOST_TEST(prepare_files({path}, folder / "out.h5", with).documents.size() == 6U);
  }
}

BOOST_AUTO_TEST_CASE(a_bad_document_of_many_blocks_is_taken_back) {
  const TemporaryFolder folder;
  const std::string good(200'000, 'g');
  const auto path =
      write_file(folder / "in.txt", good + "|" + std::string(150'000, 'b') + "\xff|" + good);
  const auto result = prepare_files(
      {path}, folder / "out.h5",
      {.format = {.separator = "|"}, .join = {.skip_faults = true}, .block = 4096});
  BOOST_TEST((result.documents == Texts{good, good}));
  BOOST_TEST(count_of(result.report, Trouble::utf8) == 1);
}

BOOST_AUTO_TEST_CASE(characters_that_stay) {
  const TemporaryFolder folder;
  const auto a = write_file(folder / "a.txt",
                            "\xef\xbb\xbf"
                            "one\r\ntwo\0"s);
  const auto b =
      write_file(folder / "b.jsonl", "{\"text\": \"\\u0000\"}\r\n\r\n{\"text\": \"\"}");
  const auto result = prepare_files({a, b}, folder / "out.h5");
  BOOST_TEST(result.documents == (Texts{"one\r\ntwo\0"s, "\0"s}),
             boost::test_tools::per_element());
  BOOST_TEST(result.report.nul_documents == 2);
  BOOST_TEST(result.report.crlf_files == 1);
  BOOST_TEST(result.report.blank_lines == 1);
  BOOST_TEST(result.report.empty == 1);
}

BOOST_AUTO_TEST_CASE(lines_that_are_too_long) {
  const TemporaryFolder folder;
  const auto line = [](std::size_t n) {
    return "{\"text\": \"" + std::string(n, 'x') + "\"}\n";
  };
  const auto path = write_file(folder / "in.jsonl",
                               line(1) + line(3'500'000) + line(2) + line(1'000'000) + line(3));
  for (const std::int64_t block : {1000, 1 << 20, 4 << 20}) {
    PrepareCase with{.format = {.max_line = 3 << 20}, .block = block};
    TRM_TEST_MENTIONS(error_of([&] { (void)prepare_files({path}, folder / "out.h5", with); }),
                      "in.jsonl, line 2: the line has more than 3145728 bytes");
    with.join.skip_faults = true;
    const auto result = prepare_files({path}, folder / "out.h5", with);
    BOOST_TEST(result.documents.size() == 4U);
    BOOST_TEST(count_of(result.report, Trouble::length) == 1);
  }
}

BOOST_AUTO_TEST_CASE(files_that_hold_no_text_are_left_out) {
  const TemporaryFolder folder;
  const auto good = write_file(folder / "a.txt", "good");
  const auto bad = write_file(folder / "b.txt", "%PDF-1.7\n");
  std::vector<Fault> refused;
  const auto result = prepare_files({good, bad}, folder / "out.h5",
                                    {.join = {.skip_faults = true}, .refused = &refused});
  BOOST_TEST(result.documents == (Texts{"good"}), boost::test_tools::per_element());
  BOOST_TEST(count_of(result.report, Trouble::file) == 1);
  TRM_TEST_MENTIONS(result.report.places.at(0), "b.txt: it holds PDF");
}

BOOST_AUTO_TEST_CASE(short_and_equal_documents_are_left_out) {
  const TemporaryFolder folder;
  const std::string longer(9000, 'l');
  const auto path = write_file(folder / "in.txt", "one|two|one|x||" + longer + "|" + longer +
                                                      "|two|three|" + longer + "!");
  for (const std::int64_t block : {3, 700, 100'000}) {
    const auto result = prepare_files({path}, folder / "out.h5",
                                      {.format = {.separator = "|"},
                                       .join = {.min_tokens = 2, .dedup = true},
                                       .block = block});
    BOOST_TEST((result.documents == Texts{"one", "two", longer, "three", longer + "!"}));
    BOOST_TEST(result.report.equal == 3);
    BOOST_TEST(result.report.few == 1);
    BOOST_TEST(result.report.empty == 1);
    BOOST_TEST(result.report.longest == 9001);
    BOOST_TEST(result.report.documents == 5);
    BOOST_TEST(result.report.text_bytes == 3 + 3 + 9000 + 5 + 9001);
  }
}

BOOST_AUTO_TEST_CASE(ends_may_be_left_out) {
  const TemporaryFolder folder;
  const auto path = write_file(folder / "in.txt", "ab|c");
  (void)prepare_files({path}, folder / "out.h5",
                      {.format = {.separator = "|"}, .file = {.append_end = false}});
  const TokenFile file(folder / "out.h5");
  BOOST_TEST(file.tokens() == 3);
  BOOST_TEST(file.document_start(1) == 2);
}

BOOST_AUTO_TEST_CASE(folders_patterns_and_files_in_a_stated_order) {
  const TemporaryFolder folder;
  for (const char* sub : {"in/b/c", "in/.git", "in/d"}) {
    std::filesystem::create_directories(folder / sub);
  }
  for (const char* name : {"in/z.txt", "in/b/c/2.txt", "in/b/1.txt", "in/.git/x", "in/.hidden",
                           "in/d/B.txt", "in/d/a.txt"}) {
    write_file(folder / name, name);
  }
  std::filesystem::create_directory_symlink(folder / "in", folder / "in/d/loop");
  const auto names = [&](const Texts& paths) {
    Texts found;
    for (const TextInput& input : find_inputs(paths, {})) {
      found.push_back(input.path.substr((folder / "").size()));
    }
    return found;
  };
  BOOST_TEST(names({folder / "in"}) ==
                 (Texts{"in/b/1.txt", "in/b/c/2.txt", "in/d/B.txt", "in/d/a.txt", "in/z.txt"}),
             boost::test_tools::per_element());
  BOOST_TEST(names({folder / "in/z.txt", folder / "in/d/[Ba].t*"}) ==
                 (Texts{"in/z.txt", "in/d/B.txt", "in/d/a.txt"}),
             boost::test_tools::per_element());
  write_file(folder / "in/what?", "a name, not a pattern");
  BOOST_TEST(names({folder / "in/what?"}) == (Texts{"in/what?"}),
             boost::test_tools::per_element());
  TRM_TEST_MENTIONS(error_of([&] { (void)names({folder / "*.none"}); }), "no file has a name");
  std::filesystem::create_directory(folder / "empty");
  TRM_TEST_MENTIONS(error_of([&] { (void)names({folder / "empty"}); }), "holds no file");
}

BOOST_AUTO_TEST_CASE(each_file_may_be_one_document) {
  const TemporaryFolder folder;
  const auto a = write_file(folder / "a.json", "[{\"x\": 1}]");
  const auto b = write_file(folder / "b.txt", "{\"text\": \"code\"}\n");
  const auto result =
      prepare_files({a, b}, folder / "out.h5", {.format = {.whole_files = true}, .block = 4});
  BOOST_TEST(result.documents == (Texts{"[{\"x\": 1}]", "{\"text\": \"code\"}\n"}),
             boost::test_tools::per_element());
}
