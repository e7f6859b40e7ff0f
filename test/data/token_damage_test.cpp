// SPDX-License-Identifier: Apache-2.0
// Damaged token files: each flipped bit is named or changes no token.
#include <filesystem>
#include <fstream>
#include <random>

#include <boost/test/unit_test.hpp>

#include "trireme/data/token_file.hpp"

#include "../../src/data/token_seal.hpp"
#include "../support/error_of.hpp"
#include "../support/flipped_bits.hpp"
#include "../support/temporary_folder.hpp"
#include "make_token_file.hpp"

using namespace trireme;
using test::add_bits;
using test::error_of;
using test::make_token_file;
using test::TemporaryFolder;
using Tokens = std::vector<std::int32_t>;

namespace {

/// All that a run takes from a token file, as text.
std::string content(const std::string& path) {
  const TokenFile file(path);
  Tokens tokens(static_cast<std::size_t>(file.tokens()));
  file.read(0, tokens);
  std::string text = fmt::format(
      "{} {} {} {} {} {} ", file.vocab_size(), file.end_of_document(), file.tokenizer_kind(),
      file.tokenizer_definition(), file.source_hash(), file.version());
  for (std::int64_t i = 0; i <= file.documents(); ++i) {
    text += std::to_string(file.document_start(i)) + " ";
  }
  text.append(reinterpret_cast<const char*>(tokens.data()), tokens.size() * 4);
  tokens.resize(1);
  file.read(0, tokens);  // the block that the thread keeps is not the first of the next call
  return text;
}

/// Writes a file of two blocks of tokens.
std::string make(const TemporaryFolder& folder) {
  Tokens tokens(kTokenChunk);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(i * 31 % 251);
  }
  const std::string path = folder / "a.h5";
  make_token_file(path, {{1, 2, 3}, tokens, {4}});
  return path;
}

std::int64_t size_of_file(const std::string& path) {
  return static_cast<std::int64_t>(std::filesystem::file_size(path));
}

/// Where tokens and documents are.
std::vector<h5::Extent> data_of(const std::string& path) {
  const h5::File file(path, h5::Mode::read);
  std::vector<h5::Extent> data = file.dataset("tokens").extents();
  const std::vector<h5::Extent> more = file.dataset("documents").extents();
  data.insert(data.end(), more.begin(), more.end());
  return data;
}

/// Bits of the metadata, a third of them or all, and some of the blanks that end the seal and
/// of the data.
std::vector<std::int64_t> bits_of(const std::string& path) {
  const std::int64_t rare = test::whole_sweeps() ? 1 : 997;
  const std::int64_t third = test::whole_sweeps() ? 1 : 3;
  std::vector<std::int64_t> bits;
  add_bits(bits, 0, 512);
  add_bits(bits, 512, kTokenSeal.bytes, rare);
  std::int64_t at = kTokenSeal.bytes;
  std::vector<h5::Extent> data = data_of(path);
  std::ranges::sort(data, {}, &h5::Extent::offset);
  data.push_back({size_of_file(path), 0});
  for (const h5::Extent& e : data) {
    add_bits(bits, at, e.offset, third);
    add_bits(bits, e.offset, e.offset + e.bytes, rare * 8 + 1);
    at = e.offset + e.bytes;
  }
  return bits;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_flipped_bit_of_a_token_file_is_named_or_harmless) {
  const TemporaryFolder folder;
  const std::string path = make(folder);
  const std::vector<std::int64_t> bits = bits_of(path);
  const test::Flips flips = test::flip_bits(path, bits, "a.h5", [&] { return content(path); });
  BOOST_TEST(flips.wrong == -1);
  BOOST_TEST(flips.named + flips.harmless == std::ssize(bits));
  BOOST_TEST(flips.named > 20'000);
  BOOST_TEST(flips.harmless > 0);  // behind the last tokens, where a chunk is not full
  BOOST_TEST_MESSAGE(flips.named << " named, " << flips.harmless << " harmless");
}

BOOST_AUTO_TEST_CASE(larger_damage_of_a_token_file_is_named_or_harmless) {
  const TemporaryFolder folder;
  const std::string path = make(folder);
  const std::string before = content(path);
  const std::string whole = folder / "whole.h5";
  std::filesystem::copy_file(path, whole);
  std::mt19937 draw(5);
  for (int i = 0; i < (test::whole_sweeps() ? 2000 : 100); ++i) {
    std::filesystem::copy_file(whole, path, std::filesystem::copy_options::overwrite_existing);
    const std::int64_t at = draw() % size_of_file(path);
    const std::int64_t n = std::min<std::int64_t>(1 << draw() % 17, size_of_file(path) - at);
    if (i % 4 == 0) {
      std::filesystem::resize_file(path, static_cast<std::uintmax_t>(at));
    } else {
      std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(at);
      for (std::int64_t k = 0; k < n; ++k) {
        file.put(i % 4 == 1 ? '\0' : static_cast<char>(draw()));
      }
    }
    try {
      BOOST_TEST((content(path) == before), i << ": " << n << " bytes at " << at);
    } catch (const Error& e) {
      TRM_TEST_MENTIONS(std::string(e.what()), "a.h5");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_damaged_block_is_named_when_it_is_read) {
  const TemporaryFolder folder;
  const std::string path = make(folder);
  const h5::Extent second = data_of(path)[1];
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(second.offset + 2)
      << '\1';
  const TokenFile file(path);
  Tokens some(10);
  file.read(100, some);  // the first block is whole
  BOOST_TEST(some[0] == 96 * 31 % 251);
  TRM_TEST_MENTIONS(error_of([&] { file.read(kTokenChunk - 5, some); }),
                    "a.h5: /tokens: damaged: rows 65536 to 65542");
  TRM_TEST_MENTIONS(error_of([&] { file.verify([](std::int64_t) {}); }), "/tokens: damaged");
  file.read(100, some);  // the kept block is never the damaged one
  BOOST_TEST(some[0] == 96 * 31 % 251);
  Tokens few(5);
  TRM_TEST_MENTIONS(error_of([&] { file.read(kTokenChunk, few); }), "/tokens: damaged");
}

BOOST_AUTO_TEST_CASE(a_seal_may_lack_room_for_all_ranges) {
  const TemporaryFolder folder;
  const std::string path = make(folder);
  const std::string before = content(path);
  const h5::Seal seal = kTokenSeal;
  std::vector<h5::Extent> data;  // thousands of gaps, some short and some long
  for (std::int64_t at = seal.bytes; at + 20 < size_of_file(path); at += 20) {
    data.push_back({at, at % 200 == 0 ? 1 : 15});
  }
  h5::write_seal(path, seal, data);
  BOOST_TEST((h5::check_seal(path, seal) == h5::SealState::whole));
  BOOST_TEST((content(path) == before));
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(seal.bytes + 18)
      << 'x';
  TRM_TEST_MENTIONS(error_of([&] { (void)h5::check_seal(path, seal); }), "damaged");
}

BOOST_AUTO_TEST_CASE(version_one_has_no_checksums) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  test::make_old_token_file(path, {{1, 2, 3}, {4}});
  {
    const TokenFile file(path);
    BOOST_TEST(file.version() == 1);
    Tokens tokens(6);
    file.read(0, tokens);
    BOOST_TEST(tokens == (Tokens{1, 2, 3, 256, 4, 256}), boost::test_tools::per_element());
    file.verify([](std::int64_t) {});
  }
  // A file of version 2 that has lost its seal is none of version 1.
  {
    h5::File lost(path, h5::Mode::read_write);
    lost.set_attribute("format_version", 2);
  }
  TRM_TEST_MENTIONS(error_of([&] { const TokenFile again(path); }),
                    "the checksum that should begin the file is missing");
}
