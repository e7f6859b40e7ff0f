// SPDX-License-Identifier: Apache-2.0
// Reads the samples of the steps in turn.
#include "train_tokens.hpp"

#include "inputs.hpp"

namespace trireme {

void TrainTokens::open() { data_ = open_samples(deck_, Part::train, DocumentCheck::none); }

std::string TrainTokens::text() const {
  const std::int64_t epoch = data_->samples_per_epoch();
  const std::string size =
      classifies(deck_.model.task)
          ? fmt::format("{} {}", epoch,
                        deck_.model.task == Task::image_classification ? "images" : "texts")
          : fmt::format("{} tokens, {} samples an epoch", data_->tokens(), epoch);
  return fmt::format(
      "{}; {} iterations are {:.2f} epochs", size, deck_.train_iters,
      static_cast<double>(layout_.advance(0, deck_.train_iters)) / static_cast<double>(epoch));
}

void TrainTokens::start(std::int64_t samples) {
  if (!data_) return;
  const auto runs = [this, samples](std::int64_t step) {
    return layout_.runs(static_cast<std::uint64_t>(layout_.advance(samples, step)));
  };
  prefetch_.emplace(*data_, runs, 0);
}

TrainTokens::Next TrainTokens::next(std::int64_t samples,
                                    const std::function<bool()>& give_up) {
  if (!prefetch_) return {};
  if (auto tokens = prefetch_->next(give_up)) return {std::move(*tokens), true};
  std::int64_t mine = 0;
  const auto first = static_cast<std::uint64_t>(samples);
  for (const SampleRun& run : layout_.runs(first)) mine += run.count;
  const auto count = static_cast<std::size_t>(mine * deck_.model.sample().numbers());
  return {std::vector<std::int32_t>(count), false};
}

}  // namespace trireme
