// SPDX-License-Identifier: Apache-2.0
// The layout of a global batch over ranks and micro-batches.
#include "batches.hpp"

namespace trireme {

BatchLayout::BatchLayout(const Deck& deck, const Mesh& mesh)
    : count_(deck.gradient_accumulation_steps),
      size_(deck.train_micro_batch_size_per_gpu),
      dp_(mesh.shape.dp),
      dp_index_(mesh.at.dp),
      seq_(deck.model.seq_length),
      needs_tokens_(mesh.first_stage() || mesh.last_stage()) {}

std::vector<SampleRun> BatchLayout::runs(std::uint64_t first) const {
  std::vector<SampleRun> runs;
  for (std::int64_t m = 0; m < count_; ++m) {
    runs.push_back({first + static_cast<std::uint64_t>((m * dp_ + dp_index_) * size_), size_});
  }
  return runs;
}

std::vector<MicroBatch> BatchLayout::micro_batches(const Exec& ex, std::uint64_t first,
                                                   const std::vector<std::int32_t>& tokens,
                                                   bool training) const {
  const std::int64_t n = size_ * seq_;
  TRM_CHECK(
      !needs_tokens_ || static_cast<std::int64_t>(tokens.size()) == count_ * size_ * (seq_ + 1),
      "{} tokens for a step", tokens.size());
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(n));
  std::vector<std::int32_t> targets(static_cast<std::size_t>(n));
  const auto upload = [&](const std::vector<std::int32_t>& host) {
    Tensor t = ex.make(DType::i32, Shape{n});
    ex.device.copy_from_host(t.view().raw(), host.data(), t.view().bytes(), ex.stream);
    return t;
  };
  std::vector<MicroBatch> batches;
  const Tensor loss_sum = ex.zeros(DType::f64, Shape{1});
  for (const SampleRun& run : runs(first)) {
    MicroBatch mb;
    mb.batch = size_;
    mb.seq = seq_;
    mb.first_sample = run.first;
    mb.training = training;
    mb.loss_weight = 1.0 / static_cast<double>(samples_per_step() * seq_);
    mb.loss_sum = loss_sum;
    if (needs_tokens_) {
      const auto* sample =
          tokens.data() + static_cast<std::int64_t>(batches.size()) * size_ * (seq_ + 1);
      for (std::int64_t b = 0; b < size_; ++b, sample += seq_ + 1) {
        std::copy(sample, sample + seq_, inputs.begin() + b * seq_);
        std::copy(sample + 1, sample + seq_ + 1, targets.begin() + b * seq_);
      }
      mb.tokens = upload(inputs);
      mb.targets = upload(targets);
      ex.stream.synchronize();
    }
    batches.push_back(std::move(mb));
  }
  return batches;
}

}  // namespace trireme
