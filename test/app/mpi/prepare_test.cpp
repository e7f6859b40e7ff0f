// SPDX-License-Identifier: Apache-2.0
// `prepare` over ranks: the same file as on one rank, and errors that all ranks throw.
#include "../../../src/app/prepare.hpp"

#include <filesystem>
#include <fstream>
#include <memory>
#include <random>

#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"
#include "trireme/host/progress.hpp"

#include "../../support/error_of.hpp"
#include "../../support/temporary_folder.hpp"

using namespace trireme;
using test::error_of;

namespace {

Communicator& world() {
  static const auto comm = world_communicator();
  return *comm;
}

/// A folder for all ranks, which rank 0 makes and removes.
class SharedFolder {
 public:
  SharedFolder() {
    if (world().rank() == 0) folder_ = std::make_unique<test::TemporaryFolder>();
    path_ = world().broadcast_text(folder_ ? *folder_ / "" : "", 0);
  }
  ~SharedFolder() { world().barrier(); }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + name; }

  /// Rank 0 writes the file, which exists for all ranks on return.
  [[nodiscard]] std::string write(const std::string& name, const std::string& text) const {
    if (world().rank() == 0) std::ofstream(*this / name, std::ios::binary) << text;
    world().barrier();
    return *this / name;
  }

 private:
  std::unique_ptr<test::TemporaryFolder> folder_;
  std::string path_;
};

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string some_text(unsigned seed, std::size_t n) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < n) text.append(1 + random() % 3, "\n\nxyz"[random() % 5]);
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_file_does_not_depend_on_the_ranks) {
  const SharedFolder folder;
  std::string lines;
  for (int i = 0; i < 3000; ++i) lines += fmt::format("{{\"text\": \"line {}\"}}\n", i);
  PrepareOptions options;
  options.inputs = {folder.write("a.txt", some_text(1, 300'000)), folder.write("b.txt", ""),
                    folder.write("c.jsonl", lines), folder.write("d.txt", some_text(2, 5))};
  options.separator = "\n\n";
  const auto alone = make_self_communicator();
  PrepareSummary expected;
  if (world().rank() == 0) {
    options.output = folder / "alone.h5";
    expected = prepare(options, *alone);
    std::uintmax_t bytes = 0;
    for (const std::string& input : options.inputs) bytes += std::filesystem::file_size(input);
    BOOST_TEST(expected.bytes == static_cast<std::int64_t>(bytes));
    BOOST_TEST(expected.documents > 3000);
    BOOST_TEST(TokenFile(options.output).documents() == expected.documents);
  }
  options.output = folder / "together.h5";
  options.overwrite = true;
  for (const std::int64_t block : {7'001, 100'000, 4 << 20}) {
    options.block_bytes = block;
    options.threads = block == 100'000 ? 3 : 1;
    options.memory = block;  // pieces wait for each other
    const PrepareSummary summary = prepare(options, world());
    if (world().rank() != 0) continue;
    BOOST_TEST(summary.tokens == expected.tokens);
    BOOST_TEST(summary.documents == expected.documents);
    BOOST_TEST(summary.dropped == expected.dropped);
    BOOST_TEST((bytes_of(options.output) == bytes_of(folder / "alone.h5")));
    BOOST_TEST(!std::filesystem::exists(temporary_name(options.output, process_mark())));
  }
}

BOOST_AUTO_TEST_CASE(a_report_and_a_shuffle_do_not_depend_on_the_ranks) {
  const SharedFolder folder;
  std::string lines;
  for (int i = 0; i < 2000; ++i) {
    lines += i % 400 == 7 ? "oops\n" : fmt::format("{{\"text\": \"{}\"}}\n", i % 1500);
  }
  PrepareOptions options;
  options.inputs = {folder.write("a.jsonl", lines)};
  options.on_error = "skip";
  options.dedup = "exact";
  options.min_tokens = 2;
  options.shuffle = true;
  const auto alone = make_self_communicator();
  if (world().rank() == 0) {
    options.output = folder / "alone.h5";
    (void)prepare(options, *alone);
  }
  options.output = folder / "together.h5";
  options.block_bytes = 500;
  options.threads = 2;
  const PrepareSummary summary = prepare(options, world());
  if (world().rank() != 0) return;
  BOOST_TEST((bytes_of(options.output) == bytes_of(folder / "alone.h5")));
  // Of 1500 texts ten have one digit. Two stand in bad lines alone.
  BOOST_TEST(summary.documents == 1500 - 10 - 2);
  BOOST_TEST(summary.report.few == 20 - 1);  // the texts of one digit but that of line 8
  BOOST_TEST(summary.report.places.size() == 5U);
  TRM_TEST_MENTIONS(summary.report.places.at(1), "a.jsonl, line 408: not valid JSON");
  BOOST_TEST(summary.dropped == 2000 - summary.documents);
}

BOOST_AUTO_TEST_CASE(errors_reach_every_rank_and_leave_nothing) {
  const SharedFolder folder;
  PrepareOptions options;
  options.output = folder / "out.h5";
  const auto error = [&] {
    const std::string message = error_of([&] { (void)prepare(options, world()); });
    world().barrier();
    BOOST_TEST(!std::filesystem::exists(folder / "out.h5"));
    BOOST_TEST(!std::filesystem::exists(temporary_name(folder / "out.h5", process_mark())));
    return message;
  };
  std::string lines;
  for (int i = 1; i <= 1000; ++i) {
    lines += i == 700 || i == 900 ? "oops\n" : fmt::format("{{\"text\": \"{}\"}}\n", i);
  }
  options.inputs = {folder.write("a.jsonl", lines)};
  for (const std::int64_t block : {50, 4000, 4 << 20}) {
    options.block_bytes = block;
    TRM_TEST_MENTIONS(error(), "a.jsonl, line 700: not valid JSON");
  }
  options.inputs = {folder / "none.txt"};
  TRM_TEST_MENTIONS(error(), "none.txt: cannot open");
  options.inputs = {folder.write("empty.txt", "")};
  TRM_TEST_MENTIONS(error(), "no text in the input");
  options.inputs = {};
  TRM_TEST_MENTIONS(error(), "no input");
  options.inputs = {folder.write("a.txt", "text")};
  options.tokenizer.name = "words";
  TRM_TEST_MENTIONS(error(), "\"words\"");
  options.tokenizer.name = "bytes";
  options.output = folder / "a.txt/out.h5";
  TRM_TEST_MENTIONS(error(), "a.txt/out.h5: cannot make its folder");
  options.output = folder / "a.txt";
  TRM_TEST_MENTIONS(error(), "both input and output");
  BOOST_TEST(bytes_of(folder / "a.txt") == "text");
}

BOOST_AUTO_TEST_CASE(an_older_output_is_replaced_only_by_a_whole_one) {
  const SharedFolder folder;
  PrepareOptions options;
  options.inputs = {folder.write("a.txt", "first")};
  options.output = folder / "out.h5";
  (void)prepare(options, world());
  const std::string before = bytes_of(options.output);
  world().barrier();
  TRM_TEST_MENTIONS(error_of([&] { (void)prepare(options, world()); }),
                    "out.h5: this file exists");
  options.overwrite = true;
  options.inputs = {folder.write("b.jsonl", "{\"text\": \"second\"}\nbad")};
  TRM_TEST_MENTIONS(error_of([&] { (void)prepare(options, world()); }), "line 2");
  BOOST_TEST((bytes_of(options.output) == before));
  world().barrier();
  options.inputs = {folder / "a.txt", folder / "a.txt"};
  (void)prepare(options, world());
  world().barrier();
  BOOST_TEST(TokenFile(options.output).documents() == 2);
  world().barrier();
  std::filesystem::remove(options.output);
  world().barrier();
  if (world().rank() != 0) return;
  std::vector<std::string> left;  // the first output, under another name
  for (const auto& entry : std::filesystem::directory_iterator(folder / "")) {
    if (entry.path().filename().string().starts_with("out.h5")) left.push_back(entry.path());
  }
  BOOST_REQUIRE(left.size() == 1U);
  BOOST_TEST((bytes_of(left[0]) == before));
}

BOOST_AUTO_TEST_CASE(separators_are_typed_with_escapes) {
  BOOST_TEST(unescape("a\\n\\n\\t\\\\n\\x41\\xfF|") == "a\n\n\t\\n\x41\xff|");
  BOOST_TEST(unescape("\\0").size() == 1U);
  BOOST_TEST(unescape("").empty());
  for (const char* bad : {"\\", "\\q", "\\x", "\\x4", "\\xg0", "\\x+1"}) {
    TRM_TEST_MENTIONS(error_of([&] { (void)unescape(bad); }), "the escape");
  }
}

BOOST_AUTO_TEST_CASE(durations_are_for_people) {
  BOOST_TEST(duration_text(-1) == "0 s");
  BOOST_TEST(duration_text(59.4) == "59 s");
  BOOST_TEST(duration_text(187) == "3:07 min");
  BOOST_TEST(duration_text(5 * 3600 + 245) == "5:04 h");
  BOOST_TEST(duration_text(51 * 3600) == "2 d 3 h");
}
