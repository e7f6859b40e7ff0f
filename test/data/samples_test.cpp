// SPDX-License-Identifier: Apache-2.0
// Samples by number, blended files, prefetching.
#include "trireme/data/samples.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include <boost/test/unit_test.hpp>

#include "trireme/data/prefetch.hpp"

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "make_token_file.hpp"

using namespace trireme;
using test::error_of;
using test::make_token_file;
using test::TemporaryFolder;
using Tokens = std::vector<std::int32_t>;

namespace {

constexpr std::int64_t kVocab = 60'000;

/// A file of `n` documents, each of 9 tokens and an end. Token i of the file is first + i,
/// except where a document ends.
std::string make_file(const std::string& path, std::int32_t first, int n) {
  std::vector<Tokens> documents;
  for (int d = 0; d < n; ++d) {
    Tokens& tokens = documents.emplace_back();
    for (int i = 0; i < 9; ++i) tokens.push_back(first + d * 10 + i);
  }
  make_token_file(path, documents, kVocab);
  return path;
}

Tokens get(const SampleSource& source, std::uint64_t k) {
  Tokens tokens(static_cast<std::size_t>(source.seq_length() + 1));
  source.get(k, tokens);
  return tokens;
}

}  // namespace

BOOST_AUTO_TEST_CASE(in_order_samples_are_the_text) {
  const TemporaryFolder folder;
  const std::string path = make_file(folder / "a.h5", 1000, 10);
  const Samples samples({.paths = {path}, .seq_length = 4, .shuffle = false});
  BOOST_TEST(samples.vocab_size() == kVocab);
  BOOST_TEST(samples.tokens() == 100);
  BOOST_TEST(samples.samples_per_epoch() == 24);
  BOOST_TEST(get(samples, 0) == (Tokens{1000, 1001, 1002, 1003, 1004}),
             boost::test_tools::per_element());
  BOOST_TEST(get(samples, 2) == (Tokens{1008, 256, 1010, 1011, 1012}),
             boost::test_tools::per_element());
  BOOST_TEST(get(samples, 24) == get(samples, 0), boost::test_tools::per_element());
  BOOST_TEST(get(samples, 24'000'000'000'005) == get(samples, 5),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(every_epoch_is_the_same_samples_in_another_order) {
  const TemporaryFolder folder;
  const std::string path = make_file(folder / "a.h5", 1000, 100);
  const Samples ordered({.paths = {path}, .seq_length = 7, .shuffle = false});
  const Samples shuffled({.paths = {path}, .seq_length = 7, .seed = 3});
  const auto n = static_cast<std::uint64_t>(ordered.samples_per_epoch());
  std::vector<std::vector<Tokens>> epochs(3);
  for (std::uint64_t k = 0; k < n; ++k) {
    epochs[0].push_back(get(ordered, k));
    epochs[1].push_back(get(shuffled, k));
    epochs[2].push_back(get(shuffled, n + k));
  }
  BOOST_TEST((epochs[1] != epochs[0]));
  BOOST_TEST((epochs[1] != epochs[2]));
  for (auto& epoch : epochs) std::sort(epoch.begin(), epoch.end());
  BOOST_TEST((epochs[1] == epochs[0]));
  BOOST_TEST((epochs[2] == epochs[0]));
}

BOOST_AUTO_TEST_CASE(the_parts_of_a_split_share_no_document) {
  const TemporaryFolder folder;
  const std::string path = make_file(folder / "a.h5", 1000, 100);
  SamplesOptions options{
      .paths = {path}, .split = "80, 15, 5", .seq_length = 4, .shuffle = false};
  const std::array<std::int32_t, 4> starts{1000, 1800, 1950, 2000};
  for (const Part part : {Part::train, Part::valid, Part::test}) {
    options.part = part;
    const Samples samples(options);
    const auto p = static_cast<std::size_t>(part);
    BOOST_TEST(samples.tokens() == starts[p + 1] - starts[p]);
    BOOST_TEST(get(samples, 0)[0] == starts[p]);
    const auto last = static_cast<std::uint64_t>(samples.samples_per_epoch() - 1);
    for (const std::int32_t id : get(samples, last)) {
      BOOST_TEST((id == 256 || (id >= starts[p] && id < starts[p + 1])));
    }
  }
}

BOOST_AUTO_TEST_CASE(files_are_blended_by_weight) {
  const TemporaryFolder folder;
  const std::string a = make_file(folder / "a.h5", 1000, 50);
  const std::string b = make_file(folder / "b.h5", 20'000, 200);
  const auto share_of_a = [&](std::vector<double> weights) {
    const Samples samples({.paths = {a, b}, .weights = weights, .seq_length = 4});
    const std::uint64_t n = samples.blend().period();
    double count = 0;
    for (std::uint64_t k = 0; k < n; ++k) {
      const Tokens tokens = get(samples, k);
      count += *std::max_element(tokens.begin(), tokens.end()) < 20'000 ? 1 : 0;
    }
    return count / static_cast<double>(n);
  };
  BOOST_TEST(share_of_a({}) == 0.2, boost::test_tools::tolerance(0.01));
  BOOST_TEST(share_of_a({3, 1}) == 0.75, boost::test_tools::tolerance(0.001));
  BOOST_TEST(share_of_a({0, 1}) == 0);
}

BOOST_AUTO_TEST_CASE(each_blended_file_goes_through_its_epochs) {
  const TemporaryFolder folder;
  const std::string a = make_file(folder / "a.h5", 1000, 8);
  const std::string b = make_file(folder / "b.h5", 20'000, 8);
  const Samples samples({.paths = {a, b}, .weights = {2, 1}, .seq_length = 4});
  std::map<Tokens, int> seen;
  for (std::uint64_t k = 0; k < 57; ++k) ++seen[get(samples, k)];
  // 19 samples a file: 57 draws are about two epochs of the first file and one of the second.
  BOOST_TEST(seen.size() >= 37U);
  for (const auto& [tokens, count] : seen) {
    const bool first = *std::max_element(tokens.begin(), tokens.end()) < 20'000;
    BOOST_TEST(count <= (first ? 3 : 2));
  }
}

BOOST_AUTO_TEST_CASE(too_little_data) {
  const TemporaryFolder folder;
  const std::string path = make_file(folder / "a.h5", 1000, 10);
  const auto error = [](const SamplesOptions& options) {
    return error_of([&] { const Samples samples(options); });
  };
  const std::string one = error({.paths = {path}, .seq_length = 100});
  TRM_TEST_MENTIONS(one, "a.h5: too little data: 100 tokens");
  TRM_TEST_MENTIONS(one, "101");
  const std::string batch = error({.paths = {path}, .seq_length = 10, .at_least = 10});
  TRM_TEST_MENTIONS(batch, "100 tokens");
  TRM_TEST_MENTIONS(batch, "101");
  const Samples enough({.paths = {path}, .seq_length = 11, .at_least = 9});
  const std::string part =
      error({.paths = {path}, .split = "1", .part = Part::valid, .seq_length = 4});
  TRM_TEST_MENTIONS(part, "valid of split \"1\"");
  TRM_TEST_MENTIONS(error({.seq_length = 4}), "no data file");
  TRM_TEST_MENTIONS(error({.paths = {path}, .weights = {1, 2}, .seq_length = 4}), "2 weights");
  make_token_file(folder / "b.h5", {Tokens(50, 1)}, 300);
  TRM_TEST_MENTIONS(error({.paths = {path, folder / "b.h5"}, .seq_length = 4}),
                    "vocabulary of 300");
}

BOOST_AUTO_TEST_CASE(synthetic_samples) {
  const SyntheticSamples samples(1000, 4096, 5);
  const Tokens tokens = get(samples, 17);
  BOOST_TEST(tokens.size() == 4097U);
  BOOST_TEST((tokens == get(samples, 17)));
  BOOST_TEST((tokens != get(samples, 18)));
  BOOST_TEST((tokens != get(SyntheticSamples(1000, 4096, 6), 17)));
  BOOST_TEST(*std::min_element(tokens.begin(), tokens.end()) >= 0);
  BOOST_TEST(*std::max_element(tokens.begin(), tokens.end()) < 1000);
  // 1000 draws of ids hit about 1000 (1 − e^−4.1) = 983 different ids.
  BOOST_TEST(std::set<std::int32_t>(tokens.begin(), tokens.end()).size() > 950U);
}

BOOST_AUTO_TEST_CASE(prefetching_gives_the_batches_in_order) {
  const SyntheticSamples samples(1000, 16, 5);
  const auto plan = [](std::int64_t step) {
    const auto first = static_cast<std::uint64_t>(step) * 100;
    return std::vector<SampleRun>{{first + 7, 2}, {first + 50, 1}};
  };
  Prefetch prefetch(samples, plan, 3);
  for (std::uint64_t step = 3; step < 20; ++step) {
    Tokens expected;
    for (const std::uint64_t k : {7U, 8U, 50U}) {
      const Tokens tokens = get(samples, step * 100 + k);
      expected.insert(expected.end(), tokens.begin(), tokens.end());
    }
    BOOST_TEST((prefetch.next() == expected));
  }
}

BOOST_AUTO_TEST_CASE(an_error_in_reading_reaches_the_consumer_in_its_turn) {
  const SyntheticSamples samples(1000, 16, 5);
  Prefetch prefetch(
      samples,
      [](std::int64_t step) {
        TRM_REQUIRE(step < 4, "step {} is bad", step);
        return std::vector<SampleRun>{{0, 1}};
      },
      0);
  for (int i = 0; i < 4; ++i) BOOST_TEST(prefetch.next().size() == 17U);
  TRM_TEST_MENTIONS(error_of([&] { (void)prefetch.next(); }), "step 4 is bad");
}

BOOST_AUTO_TEST_CASE(prefetching_reads_no_further_than_its_depth) {
  const SyntheticSamples samples(1000, 16, 5);
  std::atomic<std::int64_t> furthest = -1;
  {
    Prefetch prefetch(
        samples,
        [&](std::int64_t step) {
          furthest = step;
          return std::vector<SampleRun>{{0, 1}};
        },
        0, 2);
    (void)prefetch.next();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    BOOST_TEST(furthest <= 3);  // two in the queue, one in hand
  }                             // destroyed with batches left
}
