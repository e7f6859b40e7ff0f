// SPDX-License-Identifier: Apache-2.0
// Building the model for inference, reading values, and passing rows through the stages.
#include "trireme/inference/inference.hpp"

#include <algorithm>
#include <cstddef>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/convert.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/train/trainer.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kReadElements = std::int64_t{1} << 24;  // in one read
constexpr int kTags = 1 << 14;
constexpr std::size_t kMostSent = 4;  // messages on the way to the next stage

/// The deck without what training alone needs. Row counts of a pass are any, so that sequence
/// parallelism can't shard rows.
Deck for_inference(Deck deck, std::int64_t context) {
  ModelConfig& m = deck.model;
  TRM_REQUIRE(!m.bidirectional_attention,
              "a model with bidirectional_attention sees the tokens that follow: it generates "
              "no text, and gives none a likelihood. `trireme eval` without texts and tasks "
              "computes the loss on data");
  const std::int64_t positions = m.max_position_embeddings - m.position_offset;
  // Dynamic scaling follows from the longest sequence, which training knows.
  const std::int64_t most = m.rope_scaling.type == RopeScaling::Type::dynamic
                                ? m.seq_length
                                : std::max(m.seq_length, positions);
  m.seq_length = context > 0 ? context : most;
  TRM_REQUIRE(m.pos_emb != PositionEmbedding::learned || m.seq_length <= positions,
              "the model has {} learned positions, too few for sequences of {} tokens",
              positions, m.seq_length);
  deck.sequence_parallel = false;
  deck.virtual_pipeline_chunks = 1;
  deck.recompute = {};
  deck.zero.stage = 0;
  deck.types.master = deck.types.compute;
  return deck;
}

}  // namespace

Inference::Inference(const Exec& ex, const Deck& deck, const Mesh& mesh, std::int64_t context)
    : ex_(ex),
      deck_(for_inference(deck, context)),
      mesh_(mesh),
      parts_(build_parts(ex, deck_, mesh)),
      part_(parts_.front().get()),
      loss_sum_(ex.zeros(DType::f64, Shape{3})) {
  flat_.emplace(parts_, mesh.shape.dp, deck_.zero.allgather_bucket_size, 0);
  values_.emplace(ex, *flat_, mesh, deck_.zero, deck_.types);
  mesh_.pp->connect_ring();
}

Inference::Inference(const Exec& ex, const Deck& deck, const Mesh& mesh, ModelPart& part)
    : ex_(ex),
      deck_(for_inference(deck, deck.model.seq_length)),
      mesh_(mesh),
      part_(&part),
      loss_sum_(ex.zeros(DType::f64, Shape{3})) {
  TRM_CHECK(!deck.sequence_parallel && deck.virtual_pipeline_chunks == 1 && deck.zero.stage < 3,
            "values of a training are not whole, or rows are sharded");
}

void Inference::read(WeightSource& source, const Parameter& p) const {
  const std::string name = most_precise(source, p.name);
  const DType type = source.dtype(name);
  std::vector<std::byte> stored;
  std::vector<float> wide;
  for (std::int64_t at = 0; at < p.box.count(); at += kReadElements) {
    const std::int64_t n = std::min(kReadElements, p.box.count() - at);
    stored.resize(static_cast<std::size_t>(n) * size_of(type));
    std::byte* to = stored.data();
    for (Box box : boxes_of_range(p.box.extent, at, n)) {
      for (int i = 0; i < box.offset.rank(); ++i) box.offset[i] += p.box.offset[i];
      source.read(name, p.global_shape, box, View(to, type, box.extent));
      to += static_cast<std::size_t>(box.count()) * size_of(type);
    }
    wide.resize(static_cast<std::size_t>(n));
    widen(type, stored.data(), wide.data(), n);
    if (p.value.dtype() == DType::f16) require_f16(name, wide);
    const Tensor staged = ex_.make(DType::f32, Shape{n});
    ex_.device.copy_from_host(staged.view().raw(), wide.data(), staged.view().bytes(),
                              ex_.stream);
    ops::cast(ex_, staged, flat_window(p.value, at, n));
    ex_.stream.synchronize();
  }
}

void Inference::load(WeightSource& source) {
  collectively(*mesh_.world, [&] {
    for (const Parameter* p : flat_->parameters()) read(source, *p);
  });
}

Tensor Inference::upload(std::span<const std::int32_t> numbers) const {
  Tensor t = ex_.make(DType::i32, Shape{static_cast<std::int64_t>(numbers.size())});
  ex_.device.copy_from_host(t.view().raw(), numbers.data(), t.view().bytes(), ex_.stream);
  ex_.stream.synchronize();
  return t;
}

void Inference::pass(const MicroBatch& mb, const AtEnd& at_end) {
  MicroBatch complete = mb;
  complete.training = false;
  complete.loss_sum = loss_sum_;
  Tape tape(complete);
  const int tag = 2 * (passes_++ % kTags);  // even tags go to the next rank
  Tensor x;
  if (!mesh_.first_stage()) {
    x = ex_.make(deck_.types.compute, Shape{mb.rows(), deck_.model.hidden_size});
    mesh_.pp->start_receive(x, mesh_.at.pp - 1, tag)->wait();
  }
  if (mesh_.last_stage()) return at_end(part(), std::move(x), tape);
  x = part().forward(ex_, std::move(x), tape);
  std::erase_if(sent_, [](Message& m) { return m.request->test(); });
  while (sent_.size() >= kMostSent) {  // a slower stage must not fill this one's memory
    sent_.front().request->wait();
    sent_.erase(sent_.begin());
  }
  Message& m = sent_.emplace_back(Message{std::move(x), nullptr});
  m.request = mesh_.pp->start_send(m.tensor, mesh_.at.pp + 1, tag);
}

void Inference::wait_for_sends() {
  for (Message& m : sent_) m.request->wait();
  sent_.clear();
}

}  // namespace trireme
