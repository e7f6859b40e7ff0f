// SPDX-License-Identifier: Apache-2.0
// Scores against the logits of Hugging Face transformers, on every mesh, and for sequences of
// different lengths.
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "ranks.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// The samples whose logits golden.h5 holds.
std::vector<TokenIds> samples(const Golden& golden) {
  const std::int64_t width = golden.config.seq_length + 1;
  TokenIds all(static_cast<std::size_t>(golden.batch * width));
  golden.dataset("steps_tokens")
      .read(Box(Shape{0, 0, 0}, Shape{1, golden.batch, width}),
            View(all.data(), DType::i32, Shape{1, golden.batch, width}));
  std::vector<TokenIds> samples;
  for (auto at = all.begin(); at != all.end(); at += width) {
    samples.emplace_back(at, at + width);
  }
  return samples;
}

/// What the logits give the samples' tokens.
std::vector<SequenceScore> expected(const Golden& golden,
                                    const std::vector<TokenIds>& samples) {
  const auto logits = golden.floats("logits");
  const auto vocabulary = static_cast<std::size_t>(golden.config.vocab_size);
  std::vector<SequenceScore> scores(samples.size());
  const float* row = logits.data();
  for (std::size_t s = 0; s < samples.size(); ++s) {
    for (std::size_t i = 1; i < samples[s].size(); ++i, row += vocabulary) {
      const double max = *std::max_element(row, row + vocabulary);
      double sum = 0;
      for (std::size_t v = 0; v < vocabulary; ++v) sum += std::exp(row[v] - max);
      const double mine = row[samples[s][i]];
      scores[s].log_probabilities.push_back(static_cast<float>(mine - max - std::log(sum)));
      scores[s].greedy.push_back(mine == max);
    }
  }
  return scores;
}

void compare(const SequenceScore& got, const SequenceScore& expected, std::size_t count) {
  BOOST_REQUIRE(got.log_probabilities.size() == count);
  BOOST_REQUIRE(got.greedy.size() == count);
  for (std::size_t i = 0; i < count; ++i) {
    BOOST_TEST(std::abs(got.log_probabilities[i] - expected.log_probabilities[i]) < 1e-5F);
    BOOST_TEST(got.greedy[i] == expected.greedy[i]);
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(scores_follow_from_the_logits,
                     bdata::make(kGoldenCases) * bdata::make(kSmallMeshes), name, mesh) {
  const Golden golden(name);
  const auto whole = samples(golden);
  const auto reference = expected(golden, whole);
  std::vector<TokenIds> ragged{{}, {1}};
  for (std::size_t i = 0; i < whole.size(); ++i) {
    ragged.push_back(whole[i]);
    ragged.emplace_back(whole[i].begin(), whole[i].begin() + 2 + static_cast<int>(i));
  }
  const std::string error = as_ranks(mesh.ranks(), [&](Communicator& world) {
    InferenceRank rank(small_deck(golden.config, mesh), world);
    GoldenWeights weights(golden);
    rank.inference.load(weights);
    const auto given = world.rank() == 0 ? ragged : std::vector<TokenIds>{};
    const auto got = rank.inference.score(given);
    if (world.rank() != world.size() - 1) return;
    BOOST_REQUIRE(got.size() == ragged.size());
    BOOST_TEST(got[0].greedy.empty());
    BOOST_TEST(got[1].greedy.empty());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      compare(got[2 + 2 * i], reference[i], whole[i].size() - 1);
      compare(got[3 + 2 * i], reference[i], i + 1);
    }
  });
  BOOST_TEST(error == "");
}

BOOST_AUTO_TEST_CASE(sequences_that_cannot_be_scored_are_named) {
  const Golden golden(kGoldenCases[0]);
  const auto refused = [&](const TokenIds& sequence) {
    return as_ranks(1, [&](Communicator& world) {
      InferenceRank rank(small_deck(golden.config, {}), world, 4);
      rank.inference.initialize();
      (void)rank.inference.score(std::vector<TokenIds>{{1, 2}, sequence});
    });
  };
  BOOST_TEST(refused({1, 2, 3, 4, 5}) == "");
  BOOST_TEST(
      refused({1, 2, 3, 4, 5, 6}).find("sequence 1 has 6 tokens, but the model takes 4") !=
      std::string::npos);
  BOOST_TEST(refused({1, 100000}).find("sequence 1 holds token 100000") != std::string::npos);
}
