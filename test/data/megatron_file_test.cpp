// SPDX-License-Identifier: Apache-2.0
// Data of Megatron and llm.c are read where they lie, and hostile ones are refused before use.
#include "trireme/data/megatron_file.hpp"

#include <filesystem>
#include <functional>

#include <boost/test/unit_test.hpp>

#include "trireme/data/samples.hpp"
#include "trireme/data/token_file.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "foreign_files.hpp"
#include "make_token_file.hpp"

using namespace trireme;
using test::Documents;
using test::error_of;
using test::Index;
using test::TemporaryFolder;
using Tokens = std::vector<std::int32_t>;

namespace {

const Documents kDocuments{{5, 6, 7, 0}, {}, {8, 0}, {9, 10, 11, 12, 100, 0}};
constexpr TokenFacts kGiven{.vocab_size = 101, .end_of_document = 0};

Tokens all_of(const TokenSource& source) {
  Tokens tokens(static_cast<std::size_t>(source.tokens()));
  source.read(0, tokens);
  return tokens;
}

Tokens end_to_end(const Documents& documents) {
  Tokens all;
  for (const Tokens& d : documents) all.insert(all.end(), d.begin(), d.end());
  return all;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class T>
void check_type(std::uint8_t code) {
  BOOST_TEST_CONTEXT("type code " << int{code}) {
    const TemporaryFolder folder;
    test::write_indexed<T>(folder / "x", kDocuments, code);
    const auto source = open_tokens(folder / "x", DocumentCheck::all, kGiven);
    BOOST_TEST(source->tokens() == 12);
    BOOST_TEST(source->documents() == 4);
    BOOST_TEST(source->token_bytes() == static_cast<std::int64_t>(sizeof(T)));
    BOOST_TEST(all_of(*source) == end_to_end(kDocuments), boost::test_tools::per_element());
    Tokens starts;
    for (int d = 0; d <= 4; ++d) {
      starts.push_back(static_cast<std::int32_t>(source->document_start(d)));
    }
    BOOST_TEST(starts == (Tokens{0, 4, 4, 6, 12}), boost::test_tools::per_element());
    Tokens some(3);
    source->read(7, some);
    BOOST_TEST(some == (Tokens{10, 11, 12}), boost::test_tools::per_element());

    MegatronWriter writer(folder / "y", code);
    for (const Tokens& d : kDocuments) {
      writer.append(d);
      writer.end_document();
    }
    writer.finish();
    for (const char* ending : {".bin", ".idx"}) {
      BOOST_TEST(read_file(folder / ("y" + std::string(ending))) ==
                 read_file(folder / ("x" + std::string(ending))));
    }
  }
}

/// The error of an index that `spoil` has changed. The data have type uint16.
std::string refusal(const std::function<void(Index&)>& spoil, const std::string& more = {}) {
  const TemporaryFolder folder;
  test::write_indexed<std::uint16_t>(folder / "x", kDocuments, 8);
  Index index(kDocuments, 8, 2);
  spoil(index);
  test::write_bytes(folder / "x.idx", index.bytes() + more);
  return error_of([&] { (void)open_tokens(folder / "x", DocumentCheck::all, kGiven); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(megatrons_data_of_every_integer_type_are_read_and_written) {
  check_type<std::uint8_t>(1);
  check_type<std::int8_t>(2);
  check_type<std::int16_t>(3);
  check_type<std::int32_t>(4);
  check_type<std::int64_t>(5);
  check_type<std::uint16_t>(8);
}

BOOST_AUTO_TEST_CASE(a_path_names_indexed_data_with_and_without_its_endings) {
  const TemporaryFolder folder;
  test::write_indexed<std::uint16_t>(folder / "x", kDocuments, 8);
  for (const char* name : {"x", "x.bin", "x.idx"}) {
    BOOST_TEST(tokens_exist(folder / name));
    BOOST_TEST(open_tokens(folder / name, DocumentCheck::all, kGiven)->tokens() == 12);
  }
  std::filesystem::remove(folder / "x.idx");
  const std::string error =
      error_of([&] { (void)open_tokens(folder / "x", DocumentCheck::all, kGiven); });
  TRM_TEST_MENTIONS(error, "but no " + (folder / "x.idx"));
  BOOST_TEST(!tokens_exist(folder / "y"));
}

BOOST_AUTO_TEST_CASE(a_hostile_index_is_refused_before_use) {
  const auto mentions = [](const std::string& part, const std::function<void(Index&)>& spoil) {
    TRM_TEST_MENTIONS(refusal(spoil), part);
  };
  mentions("not an index", [](Index& x) { x.magic[0] = 'N'; });
  mentions("TNTIDX", [](Index& x) { x.magic = std::string("TNTIDX\0\0", 8); });
  mentions("version 2", [](Index& x) { x.version = 2; });
  mentions("code 6 stands for floating point", [](Index& x) { x.code = 6; });
  mentions("code 9", [](Index& x) { x.code = 9; });
  mentions("more than its", [](Index& x) { x.sequences = ~std::uint64_t{0}; });
  mentions("more than its", [](Index& x) { x.sequences = std::uint64_t{1} << 62U; });
  mentions("more than its", [](Index& x) { x.entries = (~std::uint64_t{0}) / 8 + 2; });
  mentions("but the file has", [](Index& x) { x.entries -= 1; });
  mentions("but the file has", [](Index& x) { x.sizes.pop_back(); });
  mentions("sequence 2 has -2 tokens", [](Index& x) { x.sizes[2] = -2; });
  mentions("sequence 2 begins at byte 6, but the one before it ends at byte 8",
           [](Index& x) { x.offsets[2] = 6; });
  mentions("sequence 3 begins at byte -4", [](Index& x) { x.offsets[3] = -4; });
  mentions("sequence 3 begins at byte 9223372036854775807",
           [](Index& x) { x.offsets[3] = INT64_MAX; });
  mentions("sequence 3 has 2147483647 tokens", [](Index& x) { x.sizes[3] = INT32_MAX; });
  mentions("its sequences take 22 bytes", [](Index& x) { x.sizes[3] = 5; });
  mentions("begins with 1", [](Index& x) { x.documents[0] = 1; });
  mentions("the document index has 7", [](Index& x) { x.documents[3] = 7; });
  mentions("the document index has 1 after 2", [](Index& x) { x.documents[3] = 1; });
  mentions("ends with 3", [](Index& x) { x.documents[4] = 3; });
  TRM_TEST_MENTIONS(refusal([](Index&) {}, std::string(4, '\0')), "several modalities");
}

BOOST_AUTO_TEST_CASE(an_index_that_ends_anywhere_is_refused) {
  const TemporaryFolder folder;
  test::write_indexed<std::uint16_t>(folder / "x", kDocuments, 8);
  const std::string whole = Index(kDocuments, 8, 2).bytes();
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    test::write_bytes(folder / "x.idx", whole.substr(0, bytes));
    BOOST_CHECK_THROW((void)open_tokens(folder / "x", DocumentCheck::none, kGiven), Error);
  }
}

BOOST_AUTO_TEST_CASE(an_index_with_any_flipped_bit_is_refused_or_read) {
  const TemporaryFolder folder;
  test::write_indexed<std::uint16_t>(folder / "x", kDocuments, 8);
  const std::string whole = Index(kDocuments, 8, 2).bytes();
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    test::write_bytes(folder / "x.idx", flipped);
    try {
      const auto source = open_tokens(folder / "x", DocumentCheck::all, kGiven);
      // Entries of the document index may move without harm: documents are sequences.
      BOOST_TEST(all_of(*source) == end_to_end(kDocuments), boost::test_tools::per_element());
      for (int d = 0; d <= source->documents(); ++d) (void)source->document_start(d);
    } catch (const Error&) {
      continue;
    }
  }
}

BOOST_AUTO_TEST_CASE(data_that_do_not_fit_their_index_are_refused) {
  const TemporaryFolder folder;
  test::write_indexed<std::uint16_t>(folder / "x", kDocuments, 8);
  const std::string whole = read_file(folder / "x.bin");
  const auto error = [&](const std::string& bytes) {
    test::write_bytes(folder / "x.bin", bytes);
    return error_of([&] { (void)open_tokens(folder / "x", DocumentCheck::all, kGiven); });
  };
  TRM_TEST_MENTIONS(error(whole + "x"), "no whole number of tokens");
  TRM_TEST_MENTIONS(error(whole + "xy"), "its sequences take 24 bytes");
  TRM_TEST_MENTIONS(error(whole.substr(2)), "sequence 3 has 6 tokens");
}

BOOST_AUTO_TEST_CASE(ids_outside_of_the_vocabulary_are_refused) {
  const TemporaryFolder folder;
  test::write_indexed<std::int64_t>(folder / "x", {{1, 2, -100, 3}}, 5);
  const auto read = [&](std::int64_t vocab_size) {
    return error_of([&] {
      (void)all_of(*open_tokens(folder / "x", DocumentCheck::all, {vocab_size, 0}));
    });
  };
  TRM_TEST_MENTIONS(read(101), "token 2 has id");
  TRM_TEST_MENTIONS(read(0), "token 2 has id -100");
  test::write_bytes(folder / "x.bin", [] {
    std::string all;
    for (const std::int64_t id :
         {std::int64_t{1}, std::int64_t{1} << 40U, std::int64_t{2}, std::int64_t{3}}) {
      test::put(all, id);
    }
    return all;
  }());
  TRM_TEST_MENTIONS(read(101), "token 1 has id 1099511627776");
}

BOOST_AUTO_TEST_CASE(the_hash_tells_data_apart) {
  const TemporaryFolder folder;
  const auto hash = [&](const Documents& documents) {
    test::write_indexed<std::uint16_t>(folder / "x", documents, 8);
    return open_tokens(folder / "x", DocumentCheck::none, kGiven)->source_hash();
  };
  const std::string one = hash(kDocuments);
  BOOST_TEST(one == hash(kDocuments));
  Documents other = kDocuments;
  other[3][4] = 99;
  BOOST_TEST(one != hash(other));
  other = kDocuments;
  std::swap(other[1], other[2]);
  BOOST_TEST(one != hash(other));
}

BOOST_AUTO_TEST_CASE(a_sparse_file_of_many_gigabytes_is_read_at_its_end) {
  const TemporaryFolder folder;
  constexpr std::int64_t kSequences = 5;
  constexpr std::int64_t kTokens = 1 << 30;  // 4 GiB each
  Index index;
  index.code = 4;
  for (std::int64_t i = 0; i < kSequences; ++i) {
    index.sizes.push_back(kTokens);
    index.offsets.push_back(4 * kTokens * i);
    index.documents.push_back(i);
  }
  index.documents.push_back(kSequences);
  index.sequences = kSequences;
  index.entries = kSequences + 1;
  test::write_bytes(folder / "x.idx", index.bytes());
  test::write_bytes(folder / "x.bin", "");
  std::filesystem::resize_file(folder / "x.bin", 4 * kTokens * kSequences);
  std::fstream(folder / "x.bin", std::ios::binary | std::ios::in | std::ios::out)
      .seekp(4 * kTokens * kSequences - 4)
      .write("\x07\0\0\0", 4);
  const auto source = open_tokens(folder / "x", DocumentCheck::all, kGiven);
  BOOST_TEST(source->tokens() == kTokens * kSequences);
  BOOST_TEST(source->document_start(4) == 4 * kTokens);
  Tokens last(2);
  source->read(kTokens * kSequences - 2, last);
  BOOST_TEST(last == (Tokens{0, 7}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(shards_of_llm_c_are_read) {
  const TemporaryFolder folder;
  test::write_shard<std::uint16_t>(folder / "a.bin", 20240520, 1, {50256, 3, 40000}, 3);
  const auto gpt2 = open_tokens(folder / "a.bin", DocumentCheck::all);
  BOOST_TEST(all_of(*gpt2) == (Tokens{50256, 3, 40000}), boost::test_tools::per_element());
  BOOST_TEST(gpt2->vocab_size() == 50257);
  BOOST_TEST(gpt2->end_of_document() == 50256);
  BOOST_TEST(gpt2->document_start(1) == 3);
  test::write_shard<std::uint32_t>(folder / "b.bin", 20240801, 7, {128000, 128255}, 2);
  const auto llama = open_tokens(folder / "b", DocumentCheck::all, {.vocab_size = 130000});
  BOOST_TEST(all_of(*llama) == (Tokens{128000, 128255}), boost::test_tools::per_element());
  BOOST_TEST(llama->vocab_size() == 130000);
  const auto error = [&] {
    return error_of([&] { (void)open_tokens(folder / "c.bin", DocumentCheck::all); });
  };
  test::write_shard<std::uint16_t>(folder / "c.bin", 20240520, 2, {1}, 1);
  TRM_TEST_MENTIONS(error(), "has version 1, but the file has 2");
  test::write_shard<std::uint16_t>(folder / "c.bin", 20240520, 1, {1}, -1);
  TRM_TEST_MENTIONS(error(), "counts -1 tokens");
  test::write_shard<std::uint16_t>(folder / "c.bin", 20240520, 1, {1, 2}, 3);
  TRM_TEST_MENTIONS(error(), "but the file has 1028 bytes");
}
