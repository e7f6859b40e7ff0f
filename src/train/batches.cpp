// SPDX-License-Identifier: Apache-2.0
// The layout of a global batch over ranks and micro-batches.
#include "trireme/train/batches.hpp"

#include <algorithm>
#include <bit>

#include "trireme/model/patches.hpp"

#include "sample_rows.hpp"

namespace trireme {

BatchLayout::BatchLayout(const Deck& deck, const Mesh& mesh)
    : count_(deck.gradient_accumulation_steps),
      size_(deck.train_micro_batch_size_per_gpu),
      dp_(mesh.shape.dp),
      dp_index_(mesh.at.dp),
      seq_(deck.model.seq_length),
      task_(deck.model.task),
      layout_(deck.model.sample()),
      ramp_(batch_ramp(deck)),
      curriculum_(deck.curriculum),
      layer_drop_(deck.layer_drop),
      first_(mesh.first_stage()),
      last_(mesh.last_stage()),
      reset_positions_(deck.model.reset_position_ids),
      reset_attention_(deck.model.reset_attention_mask),
      ends_attention_(deck.model.bidirectional_attention && !deck.model.is_vision() &&
                      (reset_attention_ || task_ == Task::sequence_classification ||
                       deck.pack_impl != Packing::packed)),
      pools_rows_(last_ && deck.model.pools_rows()),
      reads_last_(deck.model.classifier_row == ClassifierRow::last ||
                  (deck.model.classifier_row == ClassifierRow::by_attention &&
                   !deck.model.bidirectional_attention)),
      takes_means_(deck.model.classifier_row == ClassifierRow::mean),
      order_(deck.model.is_vision() ? patch_order(deck.model) : std::vector<std::int32_t>()),
      end_of_document_(static_cast<std::int32_t>(deck.end_of_document)) {}

std::int64_t BatchLayout::uploaded() const {
  const std::int64_t inputs = order_.empty() ? layout_.inputs : std::ssize(order_);
  return (first_ ? inputs : 0) + (last_ ? layout_.targets : 0) + (reset_positions_ ? seq_ : 0) +
         (reset_attention_ || ends_attention_ ? seq_ : 0) + (ends_attention_ ? seq_ : 0) +
         (pools_rows_ ? (takes_means_ ? seq_ + size_ : 1) : 0);
}

StepShape BatchLayout::training_shape(std::int64_t iteration, std::uint64_t first) const {
  return {.micro_batches = samples_from(first) / (size_ * dp_),
          .seq = curriculum_length(curriculum_, seq_, iteration),
          .layer_keep = layer_keep(layer_drop_, iteration)};
}

std::vector<SampleRun> BatchLayout::runs(std::uint64_t first,
                                         std::int64_t micro_batches) const {
  std::vector<SampleRun> runs;
  for (std::int64_t m = 0; m < micro_batches; ++m) {
    runs.push_back({first + static_cast<std::uint64_t>((m * dp_ + dp_index_) * size_), size_});
  }
  return runs;
}

void BatchLayout::fill(const Exec& ex, MicroBatch& mb, const std::int32_t* samples,
                       std::int32_t*& room) const {
  const SampleRows rows{.layout = layout_,
                        .seq = mb.seq,
                        .end_of_document = reset_attention_ ? end_of_document_ : -1,
                        .padded = task_ != Task::language_model,
                        .order = order_};
  SampleRows places = rows;
  places.end_of_document = end_of_document_;
  places.padded = false;
  /// f(sample, to) of each sample, `each` numbers a sample.
  const auto upload = [&](std::int64_t each, const auto& f) {
    Tensor t = ex.make(DType::i32, Shape{size_ * each});
    for (std::int64_t b = 0; b < size_; ++b) {
      f(samples + b * layout_.numbers(), room + b * each);
    }
    ex.device.copy_from_host(t.view().raw(), room, t.view().bytes(), ex.stream);
    room += size_ * each;
    return t;
  };
  using Sample = const std::int32_t*;
  const auto of = [](const SampleRows& from, auto member) {
    return [&from, member](Sample sample, std::int32_t* to) { (from.*member)(sample, to); };
  };
  if (first_) mb.tokens = upload(rows.inputs_used(), of(rows, &SampleRows::inputs));
  if (last_) mb.targets = upload(mb.sample_targets, of(rows, &SampleRows::targets));
  if (reset_positions_) mb.positions = upload(mb.seq, of(places, &SampleRows::positions));
  if (reset_attention_ || ends_attention_) {
    mb.first_keys = upload(mb.seq, of(rows, &SampleRows::first_keys));
  }
  if (ends_attention_) mb.end_keys = upload(mb.seq, of(rows, &SampleRows::end_keys));
  if (pools_rows_) fill_classified(ex, mb, samples, room);
}

void BatchLayout::fill_classified(const Exec& ex, MicroBatch& mb, const std::int32_t* samples,
                                  std::int32_t*& room) const {
  const SampleRows rows{
      .layout = layout_, .seq = mb.seq, .padded = task_ == Task::sequence_classification};
  const auto real = [&](std::int64_t sample) {
    return std::max<std::int64_t>(rows.real(samples + sample * layout_.numbers()), 1);
  };
  const auto upload = [&](DType type, const Shape& shape) {
    Tensor t = ex.make(type, shape);
    ex.device.copy_from_host(t.view().raw(), room, t.view().bytes(), ex.stream);
    room += shape.count();
    return t;
  };
  if (!takes_means_) {
    for (std::int64_t b = 0; b < size_; ++b) {
      room[b] = static_cast<std::int32_t>(b * mb.seq + (reads_last_ ? real(b) - 1 : 0));
    }
    mb.classifier_rows = upload(DType::i32, Shape{size_});
    return;
  }
  for (std::int64_t b = 0; b < size_; ++b) {
    std::int32_t* const own = room + b * mb.seq;
    std::fill_n(std::fill_n(own, real(b), static_cast<std::int32_t>(b)), mb.seq - real(b), -1);
  }
  mb.samples_of_rows = upload(DType::i32, Shape{mb.rows()});
  std::fill_n(room, size_ * size_, 0);
  for (std::int64_t b = 0; b < size_; ++b) {
    room[b * size_ + b] = std::bit_cast<std::int32_t>(1.0F / static_cast<float>(real(b)));
  }
  mb.mean_factors = upload(DType::f32, Shape{size_, size_});
}

std::vector<MicroBatch> BatchLayout::micro_batches(const Exec& ex, TokenUploads& uploads,
                                                   std::uint64_t first,
                                                   const std::vector<std::int32_t>& tokens,
                                                   const StepShape& shape) const {
  const std::int64_t numbers = layout_.numbers();
  TRM_CHECK(!needs_tokens() || static_cast<std::int64_t>(tokens.size()) ==
                                   shape.micro_batches * size_ * numbers,
            "a step cannot take {} tokens", tokens.size());
  std::int32_t* host = needs_tokens() ? uploads.room(uploaded() * count_ * size_) : nullptr;
  std::vector<MicroBatch> batches;
  const Tensor loss_sum = ex.zeros(DType::f64, Shape{3});
  for (const SampleRun& run : runs(first, shape.micro_batches)) {
    MicroBatch mb;
    mb.batch = size_;
    mb.seq = shape.seq;
    mb.sample_targets = targets_of(shape.seq);
    mb.first_sample = run.first;
    mb.training = shape.training;
    mb.layer_keep = shape.layer_keep;
    mb.loss_weight =
        1.0 / static_cast<double>(shape.micro_batches * size_ * dp_ * mb.sample_targets);
    mb.loss_sum = loss_sum;
    const auto* sample =
        tokens.data() + static_cast<std::int64_t>(batches.size()) * size_ * numbers;
    fill(ex, mb, sample, host);
    batches.push_back(std::move(mb));
  }
  if (needs_tokens()) uploads.submit();
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

double BatchLayout::text_bytes(const std::vector<std::int32_t>& tokens,
                               std::span<const std::uint16_t> of_ids) const {
  if (of_ids.empty() || task_ != Task::language_model) return 0;
  double bytes = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool is_target = i % static_cast<std::size_t>(layout_.numbers()) != 0;
    if (!is_target || tokens[i] < 0) continue;
    const auto id = static_cast<std::size_t>(tokens[i]);
    if (id < of_ids.size()) bytes += of_ids[id];
  }
  return bytes;
}

}  // namespace trireme
