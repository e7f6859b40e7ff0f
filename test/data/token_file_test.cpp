// SPDX-License-Identifier: Apache-2.0
// Token files: what was written is read back, and other files are refused.
#include "trireme/data/token_file.hpp"

#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "make_token_file.hpp"

using namespace trireme;
using test::error_of;
using test::make_old_token_file;
using test::make_token_file;
using test::TemporaryFolder;
using Tokens = std::vector<std::int32_t>;

namespace {

Tokens read(const TokenFile& file, std::int64_t offset, std::size_t n) {
  Tokens tokens(n);
  file.read(offset, tokens);
  return tokens;
}

std::string opening(const std::string& path) {
  return error_of([&] { const TokenFile file(path); });
}

/// Replaces the dataset /documents by these offsets.
void set_documents(const std::string& path, std::vector<std::uint64_t> offsets) {
  h5::File file(path, h5::Mode::read_write);
  file.remove("documents");
  const Shape shape{static_cast<std::int64_t>(offsets.size())};
  file.create_dataset("documents", DType::u64, shape)
      .write(ConstView(offsets.data(), DType::u64, shape));
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_written_is_read) {
  const TemporaryFolder folder;
  for (const std::int64_t vocab : {257L, 65536L, 65537L}) {
    const std::string path = folder / "a.h5";
    const Tokens large(200'000, static_cast<std::int32_t>(vocab) - 1);
    make_token_file(path, {{1, 2, 3}, {}, large, {4}}, vocab);
    BOOST_TEST((h5::File(path, h5::Mode::read).dataset("tokens").dtype() ==
                (vocab > 65536 ? DType::u32 : DType::u16)));
    const TokenFile file(path);
    BOOST_TEST(file.documents() == 3);
    BOOST_TEST(file.tokens() == 200'007);
    BOOST_TEST(file.vocab_size() == vocab);
    BOOST_TEST(file.end_of_document() == 256);
    BOOST_TEST(file.tokenizer_kind() == "bytes");
    BOOST_TEST(file.tokenizer_definition().empty());
    BOOST_TEST(file.source_hash() == "0123456789abcdef");
    BOOST_TEST(file.document_start(1) == 4);
    BOOST_TEST(file.document_start(3) == 200'007);
    BOOST_TEST(read(file, 0, 5) == (Tokens{1, 2, 3, 256, static_cast<std::int32_t>(vocab) - 1}),
               boost::test_tools::per_element());
    BOOST_TEST(
        read(file, 200'003, 4) == (Tokens{static_cast<std::int32_t>(vocab) - 1, 256, 4, 256}),
        boost::test_tools::per_element());
    BOOST_CHECK_THROW(read(file, 200'004, 4), Error);
    BOOST_CHECK_THROW(read(file, -1, 4), Error);
  }
}

BOOST_AUTO_TEST_CASE(the_bytes_do_not_depend_on_the_pieces) {
  const TemporaryFolder folder;
  Tokens all;
  for (int i = 0; i < 300'000; ++i) all.push_back(i % 251 * 31 % 257);
  const auto write = [&](const std::string& path, std::size_t piece) {
    TokenFileWriter writer(path, ByteTokenizer());
    for (std::size_t document = 0; document < 100'000; ++document) {
      for (std::size_t at = 0; at < 3; at += piece) {
        writer.append(std::span(all).subspan(document * 3 + at, std::min(piece, 3 - at)));
      }
      writer.end_document();
    }
    writer.finish("x");
    std::ifstream in(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), {});
  };
  BOOST_TEST((write(folder / "a.h5", 1) == write(folder / "b.h5", 3)));
}

BOOST_AUTO_TEST_CASE(nothing_half_written_remains) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  make_token_file(path, {{1}});
  {
    TokenFileWriter writer(path, ByteTokenizer());
    writer.append(Tokens(100'000, 5));
  }
  BOOST_TEST(TokenFile(path).tokens() == 2);  // the file before is untouched
  BOOST_TEST(!std::filesystem::exists(temporary_name(path, process_mark())));
  {
    TokenFileWriter writer(folder / "b.h5", ByteTokenizer());
    writer.end_document();
    BOOST_TEST(writer.dropped() == 1);
    TRM_TEST_MENTIONS(error_of([&] { writer.finish(""); }), "no text");
  }
  BOOST_TEST(!std::filesystem::exists(folder / "b.h5"));
  TRM_TEST_MENTIONS(error_of([&] { TokenFileWriter w(folder / "no/x.h5", ByteTokenizer()); }),
                    "no/x.h5");
  TRM_TEST_MENTIONS(error_of([&] { TokenFileWriter w(folder / ".", ByteTokenizer()); }),
                    "folder");
}

BOOST_AUTO_TEST_CASE(a_token_beyond_the_vocabulary) {
  const TemporaryFolder folder;
  for (const std::int64_t vocab : {300L, 70'000L}) {
    const std::string path = folder / "a.h5";
    make_token_file(path, {{1, 2, static_cast<std::int32_t>(vocab), 4}}, vocab);
    const TokenFile file(path);
    BOOST_TEST(read(file, 0, 2) == (Tokens{1, 2}), boost::test_tools::per_element());
    const std::string message = error_of([&] { (void)read(file, 1, 3); });
    TRM_TEST_MENTIONS(message, fmt::format("a.h5: token 2 has id {}", vocab));
    TRM_TEST_MENTIONS(message, std::to_string(vocab - 1));
  }
}

BOOST_AUTO_TEST_CASE(foreign_files_are_refused) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  TRM_TEST_MENTIONS(opening(path), "a.h5: cannot open");
  { const h5::File file(path, h5::Mode::create); }
  TRM_TEST_MENTIONS(opening(path), "a.h5: not a token file");

  const auto with = [&](auto change) {
    make_old_token_file(path, {{1, 2, 3}, {4, 5}, {6}});  // no checksum comes first
    h5::File file(path, h5::Mode::read_write);
    change(file);
    file.close();
    return opening(path);
  };
  TRM_TEST_MENTIONS(with([](h5::File& f) { f.set_attribute("format", 3); }), "format");
  TRM_TEST_MENTIONS(with([](h5::File& f) { f.set_attribute("format_version", 99); }), "99");
  TRM_TEST_MENTIONS(with([](h5::File& f) { f.set_attribute("vocab_size", 0); }), "vocabulary");
  TRM_TEST_MENTIONS(with([](h5::File& f) { f.set_attribute("end_of_document", 257); }), "257");
  TRM_TEST_MENTIONS(with([](h5::File& f) { f.set_attribute("tokenizer", 1.5); }), "tokenizer");
  TRM_TEST_MENTIONS(with([](h5::File& f) { f.remove("tokens"); }), "no dataset /tokens");
  TRM_TEST_MENTIONS(with([](h5::File& f) { f.remove("documents"); }), "no dataset /documents");
  TRM_TEST_MENTIONS(with([](h5::File& f) {
                      f.remove("tokens");
                      f.create_dataset("tokens", DType::f32, Shape{9});
                    }),
                    "/tokens: it must be");
  TRM_TEST_MENTIONS(with([](h5::File& f) {
                      f.remove("tokens");
                      f.create_dataset("tokens", DType::u16, Shape{3, 3});
                    }),
                    "/tokens: it must be");
  TRM_TEST_MENTIONS(with([](h5::File& f) { f.dataset("tokens").resize(7); }), "7 tokens");
}

BOOST_AUTO_TEST_CASE(documents_that_do_not_fit_are_refused) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  const auto with = [&](const std::vector<std::uint64_t>& offsets) {
    set_documents(path, offsets);
    return opening(path);
  };
  make_old_token_file(path, {{1, 2, 3}, {4, 5}, {6}});  // 0 4 7 9
  TRM_TEST_MENTIONS(with({0, 7, 4, 9}), "offset 2 is 4, below the one before it, 7");
  TRM_TEST_MENTIONS(with({0, 4, 10, 10}), "offset 2 is 10, but there are 9 tokens");
  TRM_TEST_MENTIONS(with({0, 4, 7, 1ULL << 63U}), "but there are 9 tokens");
  TRM_TEST_MENTIONS(with({1, 4, 7, 9}), "does not start at 0");
  TRM_TEST_MENTIONS(with({0, 4, 7, 8}), "the last document ends at 8");
  TRM_TEST_MENTIONS(with({}), "empty");
  set_documents(path, {0, 9});
  BOOST_TEST(TokenFile(path).documents() == 1);
}

BOOST_AUTO_TEST_CASE(a_truncated_token_file) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  make_token_file(path, {Tokens(10'000, 1)});
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  TRM_TEST_MENTIONS(opening(path), "a.h5: damaged: it has ");
  make_old_token_file(path, {Tokens(10'000, 1)});
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  TRM_TEST_MENTIONS(opening(path), "a.h5: cannot open: truncated file");
}
