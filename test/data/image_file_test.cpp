// SPDX-License-Identifier: Apache-2.0
// Images with classes, and how they are told from token files.
#include "../../src/data/image_file.hpp"

#include <fstream>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"

using namespace trireme;
using test::TemporaryFolder;

namespace {

/// Three images of 2 × 2 bytes, of the classes 1, 0 and 2.
std::string write_images(const TemporaryFolder& folder, const h5::FileOptions& options = {}) {
  std::string path = folder / "images.h5";
  h5::File file(path, h5::Mode::create, options);
  std::vector<std::uint8_t> bytes{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255};
  const Shape shape{3, 2, 2};
  file.create_dataset("images", DType::u8, shape)
      .write(ConstView(bytes.data(), DType::u8, shape));
  std::vector<std::int64_t> labels{1, 0, 2};
  file.create_dataset("labels", DType::i64, Shape{3})
      .write(ConstView(labels.data(), DType::i64, Shape{3}));
  return path;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(image_file)

BOOST_AUTO_TEST_CASE(an_image_is_a_document_with_its_class_last) {
  const TemporaryFolder folder;
  const auto source = open_tokens(write_images(folder), DocumentCheck::all);
  BOOST_TEST(source->pixels() == 4);
  BOOST_TEST(source->documents() == 3);
  BOOST_TEST(source->vocab_size() == 3);
  BOOST_TEST(source->document_start(2) == 10);
  std::vector<std::int32_t> all(15);
  source->read(0, all);
  const std::vector<std::int32_t> expected{0, 1, 2, 3, 1, 4, 5, 6, 7, 0, 8, 9, 10, 255, 2};
  BOOST_TEST(all == expected, boost::test_tools::per_element());
  std::vector<std::int32_t> across(4);
  source->read(3, across);
  BOOST_TEST(across == (std::vector<std::int32_t>{3, 1, 4, 5}),
             boost::test_tools::per_element());
  BOOST_CHECK_THROW(source->read(12, across), Error);
}

BOOST_AUTO_TEST_CASE(sealed_files_are_never_opened_to_look_for_images) {
  const TemporaryFolder folder;
  BOOST_TEST(is_image_file(write_images(folder)));
  BOOST_TEST(!is_image_file(write_images(folder, {.user_block = 512})));
  std::ofstream(folder / "short.txt") << "text";
  BOOST_TEST(!is_image_file(folder / "short.txt"));
  BOOST_TEST(!is_image_file(folder / "none"));
  BOOST_TEST(!is_image_file(folder / "."));
  BOOST_REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  BOOST_TEST(!is_image_file(folder / "pipe"));  // a pipe without a writer is not waited for
}

BOOST_AUTO_TEST_SUITE_END()
