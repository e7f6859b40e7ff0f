// SPDX-License-Identifier: Apache-2.0
// The model on this rank's mesh, and what can be done with it: a step, an evaluation, a
// checkpoint.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trireme/app/deck.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/optim/optimizer.hpp"
#include "trireme/optim/reducer.hpp"
#include "trireme/pipeline/executor.hpp"

#include "batches.hpp"

namespace trireme {

class CheckpointReader;
struct HeldPiece;

/// All calls are collective over the mesh. `deck` is resolved and its vocabulary known.
class Trainer {
 public:
  Trainer(const Exec& ex, const Deck& deck, const Mesh& mesh, PhaseClock& clock);

  struct StepResult {
    double loss = 0;  ///< mean over the global batch's tokens, before the update
    double gradient_norm = 0;
    double lr = 0;
    double loss_scale = 1;       ///< of this step
    double next_loss_scale = 1;  ///< of the next one
    bool skipped = false;        ///< no update, as gradients overflowed
    std::string overflow = {};   ///< the first of them, with layer and micro-batch
  };
  /// One update from the global batch that begins with sample `first`. Throws Error, on all
  /// ranks, where loss or gradient is not finite; the parameters are then those before the
  /// step.
  [[nodiscard]] StepResult step(std::int64_t iteration, std::uint64_t first,
                                const std::vector<std::int32_t>& tokens);
  /// Mean loss over `batches` global batches of `source`, from its first sample on. Null on
  /// stages that read no tokens.
  [[nodiscard]] double evaluate(const SampleSource* source, std::int64_t batches);

  /// This rank's boxes of the run's state, for a saver; valid as long as the trainer.
  [[nodiscard]] std::vector<HeldPiece> held(bool with_optimizer) const;
  /// Fills the parameters and, if asked, the optimizer's state, of which `optimizer_steps` were
  /// done; else that starts afresh. Ranks that hold the same read parts of it and tell each
  /// other. Throws Error, on all ranks, if it can't be had; what was filled then is undefined.
  void load(CheckpointReader& reader, bool with_optimizer, std::int64_t optimizer_steps);

  [[nodiscard]] std::int64_t optimizer_steps() const { return optimizer_.steps(); }
  [[nodiscard]] const BatchLayout& layout() const { return layout_; }
  [[nodiscard]] std::size_t peak_tape_bytes() const { return executor_.peak_tape_bytes(); }
  struct StateBytes {
    std::size_t values = 0;
    std::size_t gradients = 0;
    std::size_t optimizer = 0;
  };
  /// What this rank keeps from step to step.
  [[nodiscard]] StateBytes state_bytes() const {
    return {store_.values().bytes(), store_.gradients().bytes(), optimizer_.state_bytes()};
  }
  /// Parameters held by this rank.
  [[nodiscard]] std::int64_t local_parameters() const { return store_.values().count(); }

 private:
  [[nodiscard]] std::vector<std::unique_ptr<ModelPart>> build_parts() const;
  [[nodiscard]] double global_loss(const std::vector<MicroBatch>& micro_batches) const;
  [[noreturn]] void report_non_finite(std::int64_t iteration, const StepResult& result,
                                      std::vector<MicroBatch> micro_batches);
  [[nodiscard]] std::string first_bad_parameter(bool gradients) const;
  [[nodiscard]] std::string first_bad_activation(std::vector<MicroBatch> micro_batches);
  /// The least of all ranks' texts, empty ones aside.
  [[nodiscard]] std::string least(const std::string& text) const;
  /// A named array of the state, of which this rank has a box.
  struct StateTensor {
    std::string name;
    const Parameter* parameter;
    View view;
  };
  [[nodiscard]] std::vector<StateTensor> state_tensors(bool with_optimizer) const;

  const Exec& ex_;
  const Deck& deck_;
  const Mesh& mesh_;
  PhaseClock& clock_;
  TensorParallel tp_;
  BatchLayout layout_;
  std::vector<std::unique_ptr<ModelPart>> parts_;
  ParameterStore store_;
  Optimizer optimizer_;
  GradientReducer reducer_;
  PipelineExecutor executor_;
};

}  // namespace trireme
