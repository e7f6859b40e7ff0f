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

bool Evaluations::valid_is_due(std::int64_t iteration) const {
  return deck_.eval_interval > 0 && deck_.eval_iters > 0 &&
         iteration % deck_.eval_interval == 0;
}

bool Evaluations::was_trained(std::int64_t iteration, const Metrics* metrics) const {
  return iteration > 0 && metrics != nullptr && metrics->has_evaluation("train", iteration);
}

bool Evaluations::missing(const std::string& group, std::int64_t iteration,
                          const Metrics* metrics) const {
  if (deck_.eval_iters == 0) return false;
  const auto lacks = [&] {
    if (metrics != nullptr && metrics->has_evaluation(group, iteration)) return false;
    if (group == "test" || deck_.train_iters == 0) return true;
    return valid_is_due(iteration) && was_trained(iteration, metrics);
  };
  return any_rank(world_.rank() == 0 && lacks());
}

void Evaluations::run_due(std::int64_t iteration, Metrics* metrics) {
  if (valid_is_due(iteration)) found_valid_ = evaluate("valid", iteration, metrics);
  if (tasks_.due(iteration)) run_tasks(iteration, metrics);
}

void Evaluations::run_missing(std::int64_t iteration, Metrics* metrics) {
  if (missing("valid", iteration, metrics)) {
    found_valid_ = evaluate("valid", iteration, metrics);
  }
  if (!tasks_.due(iteration)) return;
  const bool left_out = metrics == nullptr || tasks_.missing(iteration, *metrics);
  const bool here = left_out && (deck_.train_iters == 0 || was_trained(iteration, metrics));
  if (any_rank(world_.rank() == 0 && here)) run_tasks(iteration, metrics);
}

void Evaluations::run_tasks(std::int64_t iteration, Metrics* metrics) {
  for (TaskRecord& record : tasks_.run(iteration, metrics, asked_)) {
    if (metrics != nullptr) metrics->add(record);
    found_tasks_.push_back(std::move(record));
  }
}

void Evaluations::print(TrainLog& log) {
  if (found_valid_) log.print_evaluation("valid", *found_valid_);
  for (const TaskRecord& record : found_tasks_) log.print_task(record);
  found_valid_.reset();
  found_tasks_.clear();
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
  const EvaluationRecord record{iteration, found->loss, found->bits_per_byte, found->classes,
                                data ? data->class_names() : std::vector<std::string>()};
  if (metrics != nullptr) metrics->add(group, record);
  return record;
}

}  // namespace trireme
