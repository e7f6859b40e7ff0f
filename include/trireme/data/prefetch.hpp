// SPDX-License-Identifier: Apache-2.0
// Prefetch: a thread that reads the batches of coming steps while this one computes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "trireme/data/samples.hpp"

namespace trireme {

/// The `count` samples from number `first` on.
struct SampleRun {
  std::uint64_t first = 0;
  std::int64_t count = 0;
};

/// Reads the tokens of all `samples`: [samples, seq_length + 1] flat.
[[nodiscard]] std::vector<std::int32_t> read_samples(const SampleSource& source,
                                                     const std::vector<SampleRun>& runs);

/// Batches of consecutive steps, in order, read ahead by at most `depth`.
class Prefetch {
 public:
  /// Returns the samples of step n in the order wanted. The prefetch thread calls this
  /// function.
  using Plan = std::function<std::vector<SampleRun>(std::int64_t step)>;

  /// `source` must outlive this. Reading starts at once with step `first`.
  Prefetch(const SampleSource& source, Plan plan, std::int64_t first, std::size_t depth = 2);
  ~Prefetch();
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  /// Waits for the next step's tokens: [samples, seq_length + 1] flat. Throws the exception
  /// that reading these tokens threw.
  [[nodiscard]] std::vector<std::int32_t> next();
  /// Like next(), but returns nothing if `give_up` says so while the tokens are not there.
  [[nodiscard]] std::optional<std::vector<std::int32_t>> next(
      const std::function<bool()>& give_up);

 private:
  void work(std::int64_t step);

  const SampleSource& source_;
  Plan plan_;
  std::size_t depth_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<std::int32_t>> ready_;
  std::exception_ptr failure_;  ///< thrown once ready_ is empty
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace trireme
