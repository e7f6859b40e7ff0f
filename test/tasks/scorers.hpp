// SPDX-License-Identifier: Apache-2.0
// Scorers without a model.
#pragma once

#include <fstream>
#include <map>
#include <string>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/tasks/scorer.hpp"

namespace trireme::test {

using tasks::Tokens;
using tasks::TokenScores;

/// The log-probability of a token depends on all tokens before it in its sequence.
class HashScorer : public tasks::Scorer {
 public:
  explicit HashScorer(std::int64_t length) : length_(length) {}
  [[nodiscard]] std::int64_t length() const override { return length_; }
  [[nodiscard]] std::int64_t vocab_size() const override { return 512; }
  [[nodiscard]] std::size_t batch() const override { return 3; }

  /// The log-probability of the last token.
  static float of(std::span<const std::int32_t> tokens) {
    std::uint32_t hash = 7;
    for (const std::int32_t token : tokens) {
      hash = hash * 31 + static_cast<std::uint32_t>(token);
    }
    return -static_cast<float>(hash % 1009) / 100.F;
  }

  std::vector<TokenScores> score(std::span<const Tokens> sequences) override {
    std::vector<TokenScores> found;
    BOOST_TEST(sequences.size() <= batch());
    for (const Tokens& tokens : sequences) {
      BOOST_TEST(std::ssize(tokens) <= length_ + 1);
      TokenScores scores;
      for (std::size_t i = 1; i < tokens.size(); ++i) {
        scores.log_probabilities.push_back(of(std::span(tokens).first(i + 1)));
        scores.greedy.push_back(tokens[i] % 2 == 0);
      }
      found.push_back(scores);
    }
    return found;
  }
  std::vector<Tokens> generate(std::span<const Tokens> prompts, int /*most*/,
                               std::span<const std::string> /*until*/) override {
    return {prompts.begin(), prompts.end()};  // repeats each prompt
  }

 private:
  std::int64_t length_;
};

/// What lm-evaluation-harness got for its requests. Other sequences are an error. Tokens that
/// were no part of a continuation have no score.
class GoldenScorer : public tasks::Scorer {
 public:
  explicit GoldenScorer(const nlohmann::json& golden) {
    for (const auto& r : golden["requests"]) requests_[r["tokens"].get<Tokens>()] = &r;
    for (const auto& g : golden["generations"]) {
      texts_[g["prompt"].get<Tokens>()] = g["tokens"].get<Tokens>();
    }
  }
  [[nodiscard]] std::int64_t length() const override { return 128; }
  [[nodiscard]] std::int64_t vocab_size() const override { return 320; }
  [[nodiscard]] std::size_t batch() const override { return 5; }

  std::vector<TokenScores> score(std::span<const Tokens> sequences) override {
    std::vector<TokenScores> found;
    for (const Tokens& tokens : sequences) {
      const auto at = requests_.find(tokens);
      TRM_REQUIRE(at != requests_.end(), "not asked by lm-eval: {}", fmt::join(tokens, " "));
      const auto& request = *at->second;
      const std::size_t scored = request["scored"];
      TokenScores scores;
      scores.log_probabilities.assign(tokens.size() - 1, std::nanf(""));
      scores.greedy.assign(tokens.size() - 1, true);
      for (std::size_t k = tokens.size() - 1 - scored; k + 1 < tokens.size(); ++k) {
        scores.log_probabilities[k] =
            request["log_likelihood"].get<float>() / static_cast<float>(scored);
        scores.greedy[k] = request["greedy"].get<bool>();
      }
      found.push_back(scores);
      ++asked_;
    }
    return found;
  }
  std::vector<Tokens> generate(std::span<const Tokens> prompts, int /*most*/,
                               std::span<const std::string> /*until*/) override {
    std::vector<Tokens> found;
    for (const Tokens& prompt : prompts) {
      const auto at = texts_.find(prompt);
      TRM_REQUIRE(at != texts_.end(), "not asked by lm-eval: {}", fmt::join(prompt, " "));
      found.push_back(at->second);
    }
    return found;
  }
  [[nodiscard]] int asked() const { return asked_; }

 private:
  std::map<Tokens, const nlohmann::json*> requests_;
  std::map<Tokens, Tokens> texts_;
  int asked_ = 0;
};

inline const std::string kGolden = std::string(TRIREME_TEST_DIR) + "/tasks/golden";

inline nlohmann::json golden_numbers() {
  std::ifstream in(kGolden + "/golden.json");
  BOOST_REQUIRE(in.good());
  return nlohmann::json::parse(in);
}

inline std::string write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

}  // namespace trireme::test
