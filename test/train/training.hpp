// SPDX-License-Identifier: Apache-2.0
// Whole training runs in this process, ranks as threads: from a deck to losses and arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trireme/train/trainer.hpp"

#include "../support/thread_ranks.hpp"

namespace trireme::test {

using Json = nlohmann::json;

/// Decks merged left to right, as the program merges its own.
[[nodiscard]] Json merged(Json deck, const Json& more, const Json& third = Json::object(),
                          const Json& fourth = Json::object(),
                          const Json& fifth = Json::object());

/// A global array, put together from the boxes of all ranks.
struct WholeArray {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::byte> bytes;
  std::vector<bool> covered;
  friend bool operator==(const WholeArray& a, const WholeArray& b) {
    return a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes;
  }
  /// Elements as fp32.
  [[nodiscard]] std::vector<float> values() const;
};

/// What a run came to.
struct Training {
  std::vector<Trainer::StepResult> steps;
  std::vector<double> valid;  ///< losses of the evaluations
  std::map<std::string, WholeArray> arrays;
  std::int64_t optimizer_steps = 0;
  std::string error;  ///< of a run that ended with one on all ranks

  [[nodiscard]] std::vector<double> losses() const;
  [[nodiscard]] std::vector<double> norms() const;
  [[nodiscard]] std::vector<double> scales() const;
  [[nodiscard]] std::vector<bool> skipped() const;
};

struct TrainOptions {
  std::string load = {};       ///< folder of one checkpoint
  std::string save = {};       ///< folder that gets one at the end
  bool with_optimizer = true;  ///< load
  std::int64_t samples = -1;   ///< that are consumed; −1: those of the iterations done
  std::int64_t until = -1;     ///< iterations; −1: the deck's `train_iters`
  std::uint64_t delays = 0;    ///< as in RankOptions
};

/// Trains the deck to its `train_iters`, evaluating at multiples of `eval_interval`. Throws
/// Error where anything goes wrong that isn't the same error on all ranks, or where ranks that
/// should hold the same don't.
[[nodiscard]] Training train(const Json& deck, int ranks, const TrainOptions& options = {});

/// What differs in bits: steps, evaluations, arrays by name. Empty: nothing.
[[nodiscard]] std::string difference(const Training& got, const Training& expected);
/// The same of arrays alone.
[[nodiscard]] std::string array_difference(const Training& got, const Training& expected);

}  // namespace trireme::test
