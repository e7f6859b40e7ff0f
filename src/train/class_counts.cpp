// SPDX-License-Identifier: Apache-2.0
// Accuracy, macro F1 and confusion matrix.
#include "trireme/train/class_counts.hpp"

#include <algorithm>
#include <numeric>

namespace trireme {

namespace {

constexpr std::size_t kVectors = 3;  // occurs, given, both
constexpr std::size_t kTop = 5;

}  // namespace

ClassCounts::ClassCounts(std::int64_t classes) : classes_(static_cast<std::size_t>(classes)) {
  const std::size_t matrix = classes <= kMostMatrixClasses ? classes_ * classes_ : 0;
  counts_.resize(kVectors * classes_ + 1 + matrix);
}

std::span<double> ClassCounts::part(std::size_t number) {
  return std::span(counts_).subspan(number * classes_, classes_);
}

std::span<const double> ClassCounts::part(std::size_t number) const {
  return std::span(counts_).subspan(number * classes_, classes_);
}

void ClassCounts::add(std::span<const float> logits, std::int32_t target) {
  TRM_CHECK(logits.size() == classes_ && target < static_cast<std::int32_t>(classes_),
            "class {} of {}, with {} logits", target, classes_, logits.size());
  if (target < 0) return;
  const auto actual = static_cast<std::size_t>(target);
  const auto given =
      static_cast<std::size_t>(std::ranges::max_element(logits) - logits.begin());
  std::size_t above = 0;  // classes that come before the right one
  for (std::size_t c = 0; c < classes_; ++c) {
    const bool first =
        logits[c] > logits[actual] || (logits[c] == logits[actual] && c < actual);
    if (first) ++above;
  }
  ++part(0)[actual];
  ++part(1)[given];
  if (given == actual) ++part(2)[actual];
  double* const rest = counts_.data() + kVectors * classes_;
  if (above < kTop) ++rest[0];
  if (counts_.size() > kVectors * classes_ + 1) ++rest[1 + actual * classes_ + given];
}

void ClassCounts::reduce(Communicator& world) {
  world.all_reduce(View(counts_.data(), DType::f64, Shape{std::ssize(counts_)}),
                   Reduction::sum);
}

ClassScores ClassCounts::scores() const {
  const auto sum = [](std::span<const double> of) {
    return std::accumulate(of.begin(), of.end(), 0.0);
  };
  const double samples = std::max(sum(part(0)), 1.0);
  const double* const rest = counts_.data() + kVectors * classes_;
  ClassScores scores{.accuracy = sum(part(2)) / samples,
                     .top5 = classes_ > kTop ? rest[0] / samples : -1};
  double known = 0;
  for (std::size_t c = 0; c < classes_; ++c) {
    const double either = part(0)[c] + part(1)[c];
    if (either == 0) continue;
    ++known;
    scores.macro_f1 += 2 * part(2)[c] / either;
  }
  scores.macro_f1 /= std::max(known, 1.0);
  for (const double count : std::span(counts_).subspan(kVectors * classes_ + 1)) {
    scores.confusion.push_back(static_cast<std::int64_t>(count));
  }
  return scores;
}

}  // namespace trireme
