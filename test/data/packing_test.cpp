// SPDX-License-Identifier: Apache-2.0
// How documents fill samples, and which targets the loss counts.
#include "trireme/data/packing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <boost/test/unit_test.hpp>

#include "trireme/data/samples.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "foreign_files.hpp"
#include "make_token_file.hpp"

using namespace trireme;
using test::error_of;
using test::TemporaryFolder;
using Tokens = std::vector<std::int32_t>;

namespace {

constexpr std::int32_t kEnd = 9;
constexpr TokenFacts kGiven{.vocab_size = 100, .end_of_document = kEnd};
/// Lengths 3, 2, 7, 1 and 4.
const test::Documents kDocuments{
    {10, 11, kEnd}, {20, kEnd}, {30, 31, 32, 33, 34, 35, kEnd}, {kEnd}, {40, 41, 42, kEnd}};

/// All samples of an epoch, in the file's order.
std::vector<Tokens> samples_of(const SamplesOptions& options) {
  const Samples samples(options);
  std::vector<Tokens> all;
  for (std::int64_t k = 0; k < samples.samples_per_epoch(); ++k) {
    Tokens& to = all.emplace_back(static_cast<std::size_t>(options.seq_length + 1));
    samples.get(static_cast<std::uint64_t>(k), to);
  }
  return all;
}

SamplesOptions options_of(const TemporaryFolder& folder, const PackingRule& rule) {
  test::write_indexed<std::uint16_t>(folder / "x", kDocuments, 8);
  return {.paths = {folder / "x"},
          .seq_length = 4,
          .shuffle = false,
          .given = kGiven,
          .packing = rule};
}

constexpr std::int32_t kPad = ~0;

void check_equal(const std::vector<Tokens>& got, const std::vector<Tokens>& expected) {
  BOOST_REQUIRE(got.size() == expected.size());
  for (std::size_t k = 0; k < got.size(); ++k) {
    BOOST_TEST_CONTEXT("sample " << k) {
      BOOST_TEST(got[k] == expected[k], boost::test_tools::per_element());
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(packed_samples_are_the_documents_end_to_end) {
  const TemporaryFolder folder;
  const auto samples = samples_of(options_of(folder, {}));
  check_equal(samples, {{10, 11, kEnd, 20, kEnd},
                        {kEnd, 30, 31, 32, 33},
                        {33, 34, 35, kEnd, kEnd},
                        {kEnd, 40, 41, 42, kEnd}});
}

BOOST_AUTO_TEST_CASE(unpacked_samples_hold_one_document) {
  const TemporaryFolder folder;
  auto samples = samples_of(options_of(folder, {Packing::unpacked}));
  check_equal(samples, {{10, 11, kEnd, kPad, kPad},
                        {20, kEnd, kPad, kPad, kPad},
                        {30, 31, 32, 33, 34},
                        {kEnd, kPad, kPad, kPad, kPad},
                        {40, 41, 42, kEnd, kPad}});
  samples = samples_of(options_of(folder, {Packing::unpacked, false}));
  BOOST_TEST(samples.size() == 4);
  BOOST_TEST(samples[2][0] == kEnd);
}

BOOST_AUTO_TEST_CASE(whole_documents_fill_samples_until_one_does_not_fit) {
  const TemporaryFolder folder;
  auto samples = samples_of(options_of(folder, {Packing::until_overflow}));
  check_equal(samples,
              {{10, 11, kEnd, 20, kEnd}, {30, 31, 32, 33, 34}, {kEnd, 40, 41, 42, kEnd}});
  samples = samples_of(options_of(folder, {Packing::until_overflow, false}));
  check_equal(samples, {{10, 11, kEnd, 20, kEnd}, {kEnd, 40, 41, 42, kEnd}});
}

BOOST_AUTO_TEST_CASE(documents_that_are_all_too_long_are_named) {
  const TemporaryFolder folder;
  test::write_indexed<std::uint16_t>(folder / "x", {{1, 2, 3, 4, 5, 6, 7}}, 8);
  const std::string error = error_of([&] {
    (void)Samples({.paths = {folder / "x"},
                   .seq_length = 4,
                   .given = kGiven,
                   .packing = {Packing::unpacked, false}});
  });
  TRM_TEST_MENTIONS(error, "allow_chopped: false leaves out 1 longer documents");
}

BOOST_AUTO_TEST_CASE(labels_take_targets_out_of_the_loss) {
  const TemporaryFolder folder;
  SamplesOptions options = options_of(folder, {});
  test::Documents labels = kDocuments;
  labels[0][0] = labels[2][1] = labels[2][2] = -100;
  test::write_indexed<std::int32_t>(folder / "labels", labels, 4);
  options.label_paths = {folder / "labels"};
  const auto samples = samples_of(options);
  BOOST_TEST(samples[0] == (Tokens{~10, 11, kEnd, 20, kEnd}), boost::test_tools::per_element());
  BOOST_TEST(samples[1] == (Tokens{kEnd, 30, ~31, ~32, 33}), boost::test_tools::per_element());
  const auto error = [&](const test::Documents& documents) {
    test::write_indexed<std::int32_t>(folder / "labels", documents, 4);
    return error_of([&] { (void)samples_of(options); });
  };
  labels[2][3] = 77;
  TRM_TEST_MENTIONS(error(labels), "label 8 is 77, but the token there is 33");
  labels = kDocuments;
  std::swap(labels[0], labels[1]);
  TRM_TEST_MENTIONS(error(labels), "document 1 begins at label 2");
  labels.pop_back();
  TRM_TEST_MENTIONS(error(labels), "13 labels in 4 documents");
}

BOOST_AUTO_TEST_CASE(the_target_after_an_end_of_document_does_not_count_if_asked) {
  const TemporaryFolder folder;
  SamplesOptions options = options_of(folder, {});
  options.mask_end_of_document = true;
  const auto samples = samples_of(options);
  BOOST_TEST(samples[0] == (Tokens{10, 11, kEnd, ~20, kEnd}), boost::test_tools::per_element());
  BOOST_TEST(samples[2] == (Tokens{33, 34, 35, kEnd, ~kEnd}), boost::test_tools::per_element());
  options.given.end_of_document = -1;
  TRM_TEST_MENTIONS(error_of([&] { (void)samples_of(options); }), "set end_of_document");
}

BOOST_AUTO_TEST_CASE(neox_weights_files_by_their_documents) {
  const auto weights = weights_by_documents({100, 300, 600}, 0.5);
  // weights_by_num_docs([100, 300, 600], alpha=0.5) of GPT-NeoX.
  const double p[] = {std::sqrt(0.1) * 0.9, std::sqrt(0.3) * 0.7, std::sqrt(0.6) * 0.4};
  const double sum = p[0] + p[1] + p[2];
  for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(std::abs(weights[i] - p[i] / sum) < 1e-15);
  BOOST_TEST(weights_by_documents({5}, 1) == (std::vector<double>{1}),
             boost::test_tools::per_element());
  BOOST_TEST(weights_by_documents({5, 0}, 1) == (std::vector<double>{1, 0}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_middle_of_documents_moves_to_their_end) {
  const FillInTheMiddle fim{.rate = 1, .spm_rate = 0, .prefix = 90, .middle = 91, .suffix = 92};
  FillInTheMiddle other = fim;
  other.spm_rate = 1;
  int changed = 0;
  for (std::uint64_t k = 0; k < 200; ++k) {
    Tokens whole(30);
    std::iota(whole.begin(), whole.end(), 10);
    whole[20] = kEnd;
    whole[4] = ~whole[4];  // keeps its place beside its neighbours
    Tokens tokens = whole;
    fim.apply(7, k, kEnd, tokens);
    BOOST_TEST(tokens[20] == kEnd);
    Tokens again = whole;
    fim.apply(7, k, kEnd, again);
    BOOST_TEST(again == tokens, boost::test_tools::per_element());
    if (tokens[0] != 90) continue;
    ++changed;
    const auto at = [&](std::int32_t id) {
      return std::find(tokens.begin(), tokens.begin() + 20, id) - tokens.begin();
    };
    const auto suffix = at(92);
    const auto middle = at(91);
    Tokens joined(tokens.begin() + 1, tokens.begin() + suffix);
    joined.insert(joined.end(), tokens.begin() + middle + 1, tokens.begin() + 20);
    joined.insert(joined.end(), tokens.begin() + suffix + 1, tokens.begin() + middle);
    BOOST_TEST(joined == Tokens(whole.begin(), whole.begin() + 17),
               boost::test_tools::per_element());
    Tokens second = whole;
    other.apply(7, k, kEnd, second);
    BOOST_TEST(second[0] == 90);
    BOOST_TEST(second[1] == 92);
  }
  BOOST_TEST(changed > 100);
  BOOST_TEST(changed < 200);  // a short suffix leaves a document as it is
}
