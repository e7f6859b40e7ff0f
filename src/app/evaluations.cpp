// SPDX-License-Identifier: Apache-2.0
// Evaluates, and finds what a stop left out.
#include "evaluations.hpp"

#include "trireme/tokenizer/text_bytes.hpp"

#include "deck_tokenizer.hpp"
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

void Evaluations::learn_text_bytes(const std::optional<Samples>& data) {
  if (text_bytes_) return;
  text_bytes_.emplace();
  if (world_.rank() == 0 && data) {
    const auto tokenizer = tokenizer_for(data->file(0), deck_);
    if (tokenizer != nullptr) text_bytes_ = text_bytes(*tokenizer);
  }
  auto count = static_cast<std::int64_t>(text_bytes_->size());
  count = world_.reduce_count(count, Reduction::max);
  text_bytes_->resize(static_cast<std::size_t>(count));
  if (count > 0) world_.broadcast(View(text_bytes_->data(), DType::u16, Shape{count}), 0);
}

std::optional<EvaluationRecord> Evaluations::evaluate(const std::string& group,
                                                      std::int64_t iteration,
                                                      Metrics* metrics) {
  const auto& data = group == "valid" ? valid_ : test_;
  if (world_.reduce_count(data ? 1 : 0, Reduction::max) == 0) return std::nullopt;
  learn_text_bytes(data);
  const auto found = trainer_.evaluate(data ? &*data : nullptr, deck_.eval_iters, *text_bytes_);
  if (!found) return std::nullopt;
  const EvaluationRecord record{iteration, found->loss, found->bits_per_byte};
  if (metrics != nullptr) metrics->add(group, record);
  return record;
}

}  // namespace trireme
