// SPDX-License-Identifier: Apache-2.0
// Whole training runs in this process, from a deck to losses and arrays. Ranks are threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/train/trainer.hpp"

#include "../support/thread_ranks.hpp"

namespace trireme::test {

using Json = nlohmann::json;

/// Merges decks from left to right, as the program merges its own.
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

/// The result of a run.
struct Training {
  std::vector<Trainer::StepResult> steps;
  std::vector<double> valid;  ///< losses of the evaluations
  std::map<std::string, WholeArray> arrays;
  std::int64_t optimizer_steps = 0;
  std::string error;         ///< the error with which all ranks ended
  std::string bad;           ///< Trainer::first_bad_state() at the end
  std::size_t reserved = 0;  ///< bytes that the device had taken at the end, of rank 0
  int given_up = 0;          ///< steps that were given up and trained again
  int cut = 0;               ///< evaluations that were given up

  [[nodiscard]] std::vector<double> losses() const;
  [[nodiscard]] std::vector<double> norms() const;
  [[nodiscard]] std::vector<double> scales() const;
  [[nodiscard]] std::vector<bool> skipped() const;
};

struct TrainOptions {
  std::string load = {};       ///< a checkpoint's folder to begin from
  bool weights_alone = false;  ///< load as with key finetune
  std::string save = {};       ///< folder that gets a checkpoint at the end
  std::int64_t until = -1;     ///< last iteration; −1: the deck's `train_iters`
  std::uint64_t delays = 0;    ///< as in RankOptions
  /// Wraps the made-up samples of training and evaluation; empty: they are taken as they are.
  std::function<std::unique_ptr<SampleSource>(std::unique_ptr<SampleSource>)> wrap = {};
  /// Wraps the source of loaded weights; may be empty.
  std::function<std::unique_ptr<WeightSource>(WeightSource&)> wrap_weights = {};
  /// A rank's wish to give up the step that follows `done` iterations; may be empty.
  std::function<bool(int rank, std::int64_t done, const PassNews&)> give_up = {};
};

/// Trains the deck to its `train_iters` and evaluates at multiples of `eval_interval`. Throws
/// Error if ranks end with different errors, or if replicas differ in a bit.
[[nodiscard]] Training train(const Json& deck, int ranks, const TrainOptions& options = {});

/// Names the steps, evaluations and arrays that differ in bits; empty: all agree.
[[nodiscard]] std::string difference(const Training& got, const Training& expected);
/// Names the arrays that differ in bits.
[[nodiscard]] std::string array_difference(const Training& got, const Training& expected);

}  // namespace trireme::test
