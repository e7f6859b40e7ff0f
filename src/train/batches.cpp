// SPDX-License-Identifier: Apache-2.0
// The layout of a global batch over ranks and micro-batches.
#include "trireme/train/batches.hpp"

#include <algorithm>

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

std::vector<MicroBatch> BatchLayout::micro_batches(const Exec& ex, TokenUploads& uploads,
                                                   std::uint64_t first,
                                                   const std::vector<std::int32_t>& tokens,
                                                   bool training) const {
  const std::int64_t n = size_ * seq_;
  TRM_CHECK(
      !needs_tokens_ || static_cast<std::int64_t>(tokens.size()) == count_ * size_ * (seq_ + 1),
      "a step cannot take {} tokens", tokens.size());
  std::int32_t* host = needs_tokens_ ? uploads.room(2 * count_ * n) : nullptr;
  const auto upload = [&](std::int64_t skipped, const std::int32_t* sample) {
    Tensor t = ex.make(DType::i32, Shape{n});
    for (std::int64_t b = 0; b < size_; ++b, sample += seq_ + 1) {
      std::copy_n(sample + skipped, seq_, host + b * seq_);
    }
    ex.device.copy_from_host(t.view().raw(), host, t.view().bytes(), ex.stream);
    host += n;
    return t;
  };
  std::vector<MicroBatch> batches;
  const Tensor loss_sum = ex.zeros(DType::f64, Shape{2});
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
      mb.tokens = upload(0, sample);
      mb.targets = upload(1, sample);
    }
    batches.push_back(std::move(mb));
  }
  if (needs_tokens_) uploads.submit();
  return batches;
}

TokenUploads::~TokenUploads() {
  for (Room& r : rooms_) {
    if (r.memory != nullptr) ex_.device.release_host(r.memory);
  }
}

std::int32_t* TokenUploads::room(std::int64_t count) {
  Room& r = rooms_[next_];
  if (r.copied) r.copied->synchronize();
  if (count_ < count) {  // all at once, so that later steps allocate nothing
    for (Room& each : rooms_) {
      if (each.copied) each.copied->synchronize();
      if (each.memory != nullptr) ex_.device.release_host(each.memory);
      each.memory = nullptr;
      each.memory =
          ex_.device.allocate_host(static_cast<std::size_t>(count) * sizeof(std::int32_t));
    }
    count_ = count;
  }
  return static_cast<std::int32_t*>(r.memory);
}

void TokenUploads::submit() {
  rooms_[next_].copied = ex_.stream.record();
  next_ = (next_ + 1) % kRooms;
}

}  // namespace trireme
