// SPDX-License-Identifier: Apache-2.0
// Many token files: few are open at a time, and each reads as if it were open.
#include "../../src/data/open_token_files.hpp"

#include <filesystem>
#include <thread>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "make_token_file.hpp"

using namespace trireme;
using test::error_of;
using test::make_token_file;
using test::TemporaryFolder;

namespace {

constexpr int kFiles = static_cast<int>(kMostOpenTokenFiles) + 8;

std::string path_of(const TemporaryFolder& folder, int i) {
  return folder / fmt::format("{}.h5", i);
}

std::int32_t first_token(const TokenFile& file) {
  std::int32_t token = -1;
  file.read(0, {&token, 1});
  return token;
}

std::vector<std::unique_ptr<TokenFile>> make_files(const TemporaryFolder& folder) {
  std::vector<std::unique_ptr<TokenFile>> files;
  for (int i = 0; i < kFiles; ++i) {
    make_token_file(path_of(folder, i), {{i, i + 1}, {i}}, 257);
    files.push_back(std::make_unique<TokenFile>(path_of(folder, i)));
  }
  return files;
}

}  // namespace

BOOST_AUTO_TEST_CASE(few_of_many_files_are_open) {
  const TemporaryFolder folder;
  {
    const auto files = make_files(folder);
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < kFiles; ++i) {
        BOOST_TEST(first_token(*files[static_cast<std::size_t>(i)]) == i);
        BOOST_TEST(files[static_cast<std::size_t>(i)]->document_start(1) == 3);
        BOOST_TEST(OpenTokenFiles::instance().count() <= kMostOpenTokenFiles);
      }
    }
    BOOST_TEST(OpenTokenFiles::instance().count() == kMostOpenTokenFiles);
  }
  BOOST_TEST(OpenTokenFiles::instance().count() == 0U);
}

BOOST_AUTO_TEST_CASE(equal_tokenizers_have_one_definition) {
  const TemporaryFolder folder;
  make_token_file(folder / "a.h5", {{1}}, 257);
  make_token_file(folder / "b.h5", {{2}}, 257);
  const TokenFile a(folder / "a.h5");
  const TokenFile b(folder / "b.h5");
  BOOST_TEST(&a.tokenizer_definition() == &b.tokenizer_definition());
}

BOOST_AUTO_TEST_CASE(a_file_that_changed_while_closed_is_an_error) {
  const TemporaryFolder folder;
  const auto files = make_files(folder);  // the first ones are closed by now
  make_token_file(path_of(folder, 0), {{7, 7, 7}}, 257);
  BOOST_TEST(error_of([&] {
               (void)first_token(*files[0]);
             }).find("the file changed while the run read it") != std::string::npos);
  std::filesystem::remove(path_of(folder, 1));
  BOOST_TEST(error_of([&] { (void)first_token(*files[1]); }).find(path_of(folder, 1)) !=
             std::string::npos);
  // Content that differs in nothing but tokens has other checksums.
  make_token_file(path_of(folder, 2), {{9, 9}, {9}}, 257);
  BOOST_TEST(error_of([&] { (void)first_token(*files[2]); }).find("checksum") !=
             std::string::npos);
  BOOST_TEST(first_token(*files[3]) == 3);
}

BOOST_AUTO_TEST_CASE(threads_share_the_files) {
  const TemporaryFolder folder;
  const auto files = make_files(folder);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int k = 0; k < 3 * kFiles; ++k) {
        const int i = static_cast<int>(static_cast<std::size_t>(k) * (t + 3)) % kFiles;
        if (first_token(*files[static_cast<std::size_t>(i)]) != i) ++wrong[t];
      }
    });
  }
  for (std::thread& t : threads) t.join();
  BOOST_TEST(wrong == std::vector<int>(4), boost::test_tools::per_element());
}
