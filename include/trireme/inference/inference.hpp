// SPDX-License-Identifier: Apache-2.0
// A deck's model for use without training: values alone, on any dp × tp × pp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/comm/mesh.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/optim/layout.hpp"
#include "trireme/optim/values.hpp"

namespace trireme {

using TokenIds = std::vector<std::int32_t>;

/// What the model gives the tokens of a sequence. Entry i is about token i + 1.
struct SequenceScore {
  /// Natural logarithms of the tokens' probabilities, given the tokens before.
  std::vector<float> log_probabilities;
  /// Whether no other token was more probable.
  std::vector<bool> greedy;
};

/// The part of a deck's model that a rank holds, with values and no gradients. Ranks of dp hold
/// equal values and share out the work. Every rank makes all calls in one order.
class Inference {
 public:
  /// `deck` is resolved and its vocabulary known; the mesh must outlive the object. `context`
  /// is the most tokens of a sequence, 0 for the deck's max_position_embeddings. Values are not
  /// set: call load() or initialize().
  Inference(const Exec& ex, const Deck& deck, const Mesh& mesh, std::int64_t context = 0);
  /// Uses the only part of a model in training, whose values are whole and bound. A sequence
  /// has at most the deck's seq_length tokens.
  Inference(const Exec& ex, const Deck& deck, const Mesh& mesh, ModelPart& part);

  /// Reads this rank's values in the deck's compute precision. Throws Error on all ranks if one
  /// of them can't read. Collective.
  void load(WeightSource& source);
  /// Draws the deck's initial weights.
  void initialize() { values_->initialize(deck_.model, deck_.seed); }

  /// Scores the sequences of rank 0; those of other ranks are ignored. All ranks get the
  /// results, in the order of the sequences. Sequences below two tokens get empty scores.
  /// Throws Error if one is longer than context() + 1, or holds an id outside the vocabulary.
  /// Collective.
  [[nodiscard]] std::vector<SequenceScore> score(std::span<const TokenIds> sequences);

  /// Called on the last stage with the stage's input.
  using AtEnd = std::function<void(ModelPart& part, Tensor x, Tape& tape)>;
  /// Passes a micro-batch through the stages of this pipeline. Sends don't block: call
  /// wait_for_sends() once no further micro-batch follows. Collective over tp and pp.
  void pass(const MicroBatch& mb, const AtEnd& at_end);
  void wait_for_sends();
  /// An int32 array on the device.
  [[nodiscard]] Tensor upload(std::span<const std::int32_t> numbers) const;

  [[nodiscard]] std::int64_t context() const { return deck_.model.seq_length; }
  [[nodiscard]] const Exec& exec() const { return ex_; }
  /// The deck as used: its seq_length is context().
  [[nodiscard]] const Deck& deck() const { return deck_; }
  [[nodiscard]] const Mesh& mesh() const { return mesh_; }
  [[nodiscard]] ModelPart& part() { return *part_; }
  [[nodiscard]] TensorParallel tensor_parallel() const { return {mesh_.tp.get(), false}; }
  /// Bytes of this rank's own values.
  [[nodiscard]] std::size_t value_bytes() const { return values_ ? values_->value_bytes() : 0; }

 private:
  struct Batch;
  [[nodiscard]] std::vector<Batch> batches(std::span<const TokenIds> sequences) const;
  /// Ends attention and positions at documents, where the model was trained so. `ids` are the
  /// micro-batch's tokens.
  void reset_at_documents(MicroBatch& mb, std::span<const std::int32_t> ids) const;
  void score_batch(const Batch& batch, std::span<const TokenIds> sequences,
                   std::span<const std::size_t> first, std::span<float> results);
  void read(WeightSource& source, const Parameter& p) const;

  struct Message {
    Tensor tensor;
    RequestPtr request;
  };

  const Exec& ex_;
  Deck deck_;
  const Mesh& mesh_;
  std::vector<std::unique_ptr<ModelPart>> parts_;  ///< its own, one or none
  ModelPart* part_;
  std::optional<FlatLayout> flat_;
  std::optional<ParameterValues> values_;
  Tensor loss_sum_;  ///< for modules that add auxiliary losses
  std::vector<Message> sent_;
  int passes_ = 0;
};

}  // namespace trireme
