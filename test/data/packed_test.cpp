// SPDX-License-Identifier: Apache-2.0
// Packed files give the documents of what they hold, however many threads read them, and damage
// is an error that names the file.
#include <archive.h>
#include <archive_entry.h>
#include <array>
#include <filesystem>
#include <random>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "prepare_case.hpp"

using namespace trireme;
using test::bytes_of;
using test::error_of;
using test::prepare_files;
using test::PrepareCase;
using test::TemporaryFolder;
using test::write_file;

namespace {

/// The text, packed by a filter of libarchive.
std::string packed(const std::string& text, int (*filter)(archive*)) {
  std::string out(2 * text.size() + 4096, '\0');
  std::size_t used = 0;
  archive* a = archive_write_new();
  BOOST_REQUIRE(archive_write_set_format_raw(a) == ARCHIVE_OK);
  BOOST_REQUIRE(filter(a) == ARCHIVE_OK);
  BOOST_REQUIRE(archive_write_set_bytes_per_block(a, 1) == ARCHIVE_OK);
  BOOST_REQUIRE(archive_write_open_memory(a, out.data(), out.size(), &used) == ARCHIVE_OK);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  BOOST_REQUIRE(archive_write_header(a, entry) == ARCHIVE_OK);
  BOOST_REQUIRE(archive_write_data(a, text.data(), text.size()) ==
                static_cast<la_ssize_t>(text.size()));
  archive_entry_free(entry);
  BOOST_REQUIRE(archive_write_close(a) == ARCHIVE_OK);
  archive_write_free(a);
  out.resize(used);
  return out;
}

struct Filter {
  const char* name;
  int (*add)(archive*);
};
constexpr std::array kFilters{Filter{"gzip", archive_write_add_filter_gzip},
                              Filter{"zstd", archive_write_add_filter_zstd},
                              Filter{"xz", archive_write_add_filter_xz},
                              Filter{"bzip2", archive_write_add_filter_bzip2}};

std::string some_lines(int n, int first = 0) {
  std::string lines = first == 0 ? "\xef\xbb\xbf" : "";
  for (int i = first; i < first + n; ++i) {
    lines += fmt::format("{{\"text\": \"line {} {}\"}}\n", i, std::string(i % 90, 'x'));
  }
  return lines;
}

std::string some_text(unsigned seed, std::size_t n) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < n) text.append(1 + random() % 3, "\n\nxyz"[random() % 5]);
  return text + "\xc3\xa9";
}

}  // namespace

BOOST_AUTO_TEST_CASE(packed_files_give_what_they_hold) {
  const TemporaryFolder folder;
  for (const std::string& text : {some_lines(400), some_text(1, 9000), std::string("x")}) {
    const auto plain = write_file(folder / "a", text);
    PrepareCase with{.format = {.separator = text.size() > 1 ? "\n\n" : ""}};
    const auto expected = prepare_files({plain}, folder / "a.h5", with);
    for (const Filter& filter : kFilters) {
      // The name says nothing. Two packed pieces behind each other are one text.
      const std::size_t half = text.size() / 2;
      const auto path = write_file(folder / "b.txt", packed(text.substr(0, half), filter.add) +
                                                         packed(text.substr(half), filter.add));
      for (const std::int64_t block : {77L, 5000L, 1L << 20}) {
        with.block = block;
        with.pool.threads = block == 77 ? 3 : 1;
        const auto result = prepare_files({path}, folder / "b.h5", with);
        BOOST_TEST_INFO(filter.name << ", blocks of " << block);
        BOOST_TEST((result.file == expected.file));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(damaged_packed_files_are_named) {
  const TemporaryFolder folder;
  const std::string text = some_text(2, 300'000);
  const auto error = [&](const std::string& bytes) {
    write_file(folder / "in.txt", bytes);
    return error_of([&] { (void)prepare_files({folder / "in.txt"}, folder / "out.h5"); });
  };
  for (const Filter& filter : kFilters) {
    const std::string whole = packed(text, filter.add);
    BOOST_TEST_MESSAGE(filter.name);
    for (const std::size_t left : {whole.size() - 1, whole.size() - 9, whole.size() / 2}) {
      TRM_TEST_MENTIONS(error(whole.substr(0, left)), "in.txt: damaged");
      TRM_TEST_MENTIONS(error(whole.substr(0, left)), "cut short");
      TRM_TEST_MENTIONS(error(whole.substr(0, left)), filter.name);
    }
    BOOST_TEST(!std::filesystem::exists(folder / "out.h5"));
    if (std::string_view(filter.name) != "zstd") {  // libarchive writes no checksum there
      std::string flipped = whole;
      flipped[whole.size() / 2] ^= 1;
      TRM_TEST_MENTIONS(error(flipped), "in.txt: damaged");
    }
    TRM_TEST_MENTIONS(error(whole + "and more"), "in.txt: ");
  }
}

BOOST_AUTO_TEST_CASE(packed_archives_and_other_formats_are_refused) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& text) {
    write_file(folder / "in", packed(text, archive_write_add_filter_gzip));
    return error_of([&] { (void)find_inputs({folder / "in"}, {}); });
  };
  TRM_TEST_MENTIONS(error(std::string(257, 'n') + "ustar" + std::string(400, 'x')), "a tar");
  TRM_TEST_MENTIONS(error("[{\"text\": 1}]"), "a JSON array");
  write_file(folder / "in", packed("text", archive_write_add_filter_gzip));
  BOOST_TEST(
      (find_inputs({folder / "in"}, {.as_it_is = true})[0].compression == Compression::none));
}

BOOST_AUTO_TEST_CASE(many_streams_in_little_memory_keep_their_order) {
  const TemporaryFolder folder;
  std::vector<std::string> plain;
  std::vector<std::string> packs;
  for (int i = 0; i < 12; ++i) {
    const std::string lines = some_lines(i == 3 ? 1500 : 60, 1 + 5000 * i);
    plain.push_back(write_file(folder / fmt::format("{:02}.jsonl", i), lines));
    packs.push_back(write_file(folder / fmt::format("{:02}.pack", i),
                               packed(lines, kFilters[i % kFilters.size()].add)));
    if (i % 5 == 4) packs.back() = plain.back();
  }
  const auto expected = prepare_files(plain, folder / "a.h5");
  BOOST_TEST(expected.documents.size() == 11 * 60U + 1500U);
  for (const std::int64_t memory : {0L, 100'000L, 100L << 20}) {
    for (const int threads : {1, 4}) {
      const PrepareCase with{
          .block = 3000, .pool = {.threads = threads, .memory = memory, .folder = folder / ""}};
      const auto result = prepare_files(packs, folder / "b.h5", with);
      BOOST_TEST((result.file == expected.file));
    }
  }
}

BOOST_AUTO_TEST_CASE(long_lines_of_a_stream) {
  const TemporaryFolder folder;
  const auto line = [](std::size_t n) {
    return "{\"text\": \"" + std::string(n, 'x') + "\"}\n";
  };
  const auto path = write_file(
      folder / "in", packed(line(1) + line(9000) + line(2), archive_write_add_filter_gzip));
  PrepareCase with{.format = {.max_line = 5000}, .join = {.skip_faults = true}, .block = 1000};
  const auto result = prepare_files({path}, folder / "out.h5", with);
  BOOST_TEST(result.documents.size() == 2U);
  TRM_TEST_MENTIONS(result.report.places.at(0), "in, line 2: the line has more than 5000");
}

BOOST_AUTO_TEST_CASE(an_error_stands_in_its_place) {
  const TemporaryFolder folder;
  const auto a = write_file(folder / "a.jsonl", some_lines(3000));
  std::string damaged = packed(some_lines(3000), archive_write_add_filter_zstd);
  damaged.resize(damaged.size() - 20);
  const auto b = write_file(folder / "b.zst", damaged);
  const auto c = write_file(folder / "c.jsonl", "{\"text\": 1}");
  for (const int threads : {1, 4}) {
    const PrepareCase with{.block = 5000, .pool = {.threads = threads}};
    TRM_TEST_MENTIONS(error_of([&] {
                        (void)prepare_files({a, b, c}, folder / "o.h5", with);
                      }),
                      "b.zst: damaged");
    TRM_TEST_MENTIONS(error_of([&] {
                        (void)prepare_files({c, b, a}, folder / "o.h5", with);
                      }),
                      "c.jsonl, line 1");
  }
}
