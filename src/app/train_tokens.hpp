// SPDX-License-Identifier: Apache-2.0
// The tokens of training steps on one rank, read ahead.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "trireme/data/prefetch.hpp"
#include "trireme/data/samples.hpp"
#include "trireme/train/batches.hpp"

namespace trireme {

/// Empty on stages that read no tokens.
class TrainTokens {
 public:
  TrainTokens(const Deck& deck, const BatchLayout& layout) : deck_(deck), layout_(layout) {}

  void open();
  /// Tokens, and epochs of the run, in words. Call after open().
  [[nodiscard]] std::string text() const;
  /// Begins to read ahead, from sample number `samples` on.
  void start(std::int64_t samples);
  struct Next {
    std::vector<std::int32_t> tokens;
    bool came = true;  ///< false: the tokens are zeros
  };
  /// Waits for the tokens of the next step, until `give_up` returns true. The step begins with
  /// sample number `samples`.
  [[nodiscard]] Next next(std::int64_t samples, const std::function<bool()>& give_up);

 private:
  const Deck& deck_;
  const BatchLayout& layout_;
  std::optional<Samples> data_;
  std::optional<Prefetch> prefetch_;  ///< its end may wait for a slow file
};

}  // namespace trireme
