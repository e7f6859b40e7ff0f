// SPDX-License-Identifier: Apache-2.0
// A run's evaluations: when they are due, and which are missing in the metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trireme/data/samples.hpp"
#include "trireme/record/metrics.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

class Evaluations {
 public:
  Evaluations(const Deck& deck, Communicator& world, Trainer& trainer)
      : deck_(deck), world_(world), trainer_(trainer) {}

  /// Opens the data of "valid" and "test". For ranks that read tokens.
  void open();
  /// Whether "valid" is due after this iteration.
  [[nodiscard]] bool due(std::int64_t iteration) const;
  /// Whether "valid" or "test" is due after `iteration` and has no row, because an earlier
  /// start was stopped before. `metrics`: on rank 0, or null. Collective.
  [[nodiscard]] bool missing(const std::string& group, std::int64_t iteration,
                             const Metrics* metrics) const;
  /// The mean loss and what follows from it, which the metrics get too. Empty without such
  /// data, or if a rank gave the evaluation up. Collective.
  [[nodiscard]] std::optional<EvaluationRecord> evaluate(const std::string& group,
                                                         std::int64_t iteration,
                                                         Metrics* metrics);

 private:
  /// Rank 0's tokenizer of `data`, or else the deck's, tells all ranks what text an id stands
  /// for.
  void learn_text_bytes(const std::optional<Samples>& data);

  const Deck& deck_;
  Communicator& world_;
  Trainer& trainer_;
  std::optional<Samples> valid_;
  std::optional<Samples> test_;
  std::optional<std::vector<std::uint16_t>> text_bytes_;  ///< each id's; empty: not known
};

}  // namespace trireme
