// SPDX-License-Identifier: Apache-2.0
// What is said of a split that leaves a part without data, and which split is named instead.
#include <boost/test/unit_test.hpp>

#include "trireme/data/samples.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "make_token_file.hpp"

using namespace trireme;
using test::error_of;
using test::make_token_file;
using test::TemporaryFolder;

namespace {

/// A file of `documents`, each of ten tokens with its end.
SamplesOptions corpus(const TemporaryFolder& folder, int documents) {
  const std::vector<std::vector<std::int32_t>> texts(static_cast<std::size_t>(documents),
                                                     std::vector<std::int32_t>(9, 65));
  const std::string path = folder / fmt::format("{}.h5", documents);
  make_token_file(path, texts, 257);
  return {.paths = {path}, .split = "969, 30, 1", .part = Part::test, .seq_length = 4};
}

}  // namespace

BOOST_AUTO_TEST_CASE(documents_are_counted_and_a_split_is_named) {
  const TemporaryFolder folder;
  const SamplesOptions options = corpus(folder, 420);
  BOOST_TEST(count_samples(options) == 0);
  const std::string error = error_of([&] { const Samples samples(options); });
  TRM_TEST_MENTIONS(error,
                    "420 documents × 1/1000 = 0; use split: \"97, 2, 1\", or 0 for no test "
                    "part");
}

BOOST_AUTO_TEST_CASE(the_named_split_gives_every_part_a_batch) {
  const TemporaryFolder folder;
  for (const int documents : {20, 50, 100, 420}) {
    SamplesOptions options = corpus(folder, documents);
    options.at_least = 4;
    const std::string text = explain_split(options);
    const std::size_t begin = text.find("use split: \"");
    BOOST_REQUIRE_MESSAGE(begin != std::string::npos, text);
    options.split = text.substr(begin + 12, text.find('"', begin + 12) - begin - 12);
    for (const Part part : {Part::train, Part::valid, Part::test}) {
      options.part = part;
      BOOST_TEST(Samples(options).samples_per_epoch() >= 4);
    }
  }
}

BOOST_AUTO_TEST_CASE(no_split_suffices_for_a_tiny_corpus) {
  const TemporaryFolder folder;
  SamplesOptions options = corpus(folder, 4);
  options.at_least = 5;
  TRM_TEST_MENTIONS(explain_split(options),
                    "4 documents × 1/1000 = 0; use more text, or a "
                    "smaller batch or seq_length, or 0 for no test part");
  TRM_TEST_MENTIONS(explain_split(corpus(folder, 1)),
                    "1 document × 1/1000 = 0; `trireme prepare "
                    "--document-separator`");
}
