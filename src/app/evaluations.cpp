// SPDX-License-Identifier: Apache-2.0
// Evaluates, and finds what a stop left out.
#include "evaluations.hpp"

#include "inputs.hpp"

namespace trireme {

void Evaluations::open() {
  if (deck_.eval_iters == 0) return;
  valid_ = open_samples(deck_, Part::valid, DocumentCheck::none);
  test_ = open_samples(deck_, Part::test, DocumentCheck::none);
}

bool Evaluations::due(std::int64_t iteration) const {
  return deck_.eval_interval > 0 && deck_.eval_iters > 0 &&
         iteration % deck_.eval_interval == 0;
}

bool Evaluations::missing(const std::string& group, std::int64_t iteration,
                          const Metrics* metrics) const {
  if (deck_.eval_iters == 0) return false;
  const auto lacks = [&] {
    if (metrics != nullptr && metrics->has_evaluation(group, iteration)) return false;
    if (group == "test" || deck_.train_iters == 0) return true;
    // Metrics that begin at this iteration say nothing of an evaluation in another folder.
    return iteration > 0 && due(iteration) && metrics != nullptr &&
           metrics->has_evaluation("train", iteration);
  };
  const bool here = world_.rank() == 0 && lacks();
  return world_.reduce_count(here ? 1 : 0, Reduction::max) != 0;
}

std::optional<double> Evaluations::evaluate(const std::string& group, std::int64_t iteration,
                                            Metrics* metrics) {
  const auto& data = group == "valid" ? valid_ : test_;
  if (world_.reduce_count(data ? 1 : 0, Reduction::max) == 0) return std::nullopt;
  const auto loss = trainer_.evaluate(data ? &*data : nullptr, deck_.eval_iters);
  if (loss && metrics != nullptr) metrics->add(group, {iteration, *loss});
  return loss;
}

}  // namespace trireme
