// SPDX-License-Identifier: Apache-2.0
// The model on this rank's mesh: training steps, evaluations, and the state that checkpoints
// hold.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trireme/core/clock.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/optim/average.hpp"
#include "trireme/optim/gradient_noise.hpp"
#include "trireme/optim/loss_scale.hpp"
#include "trireme/optim/optimizer.hpp"
#include "trireme/optim/reducer.hpp"
#include "trireme/optim/values.hpp"
#include "trireme/optim/zero.hpp"
#include "trireme/pipeline/executor.hpp"
#include "trireme/train/batches.hpp"
#include "trireme/train/class_counts.hpp"

namespace trireme {

class WeightSource;
struct HeldPiece;
struct Piece;

/// The parts of the deck's model that a rank holds, one for each of its stage's chunks. `mesh`
/// must outlive the parts.
[[nodiscard]] std::vector<std::unique_ptr<ModelPart>> build_parts(const Exec& ex,
                                                                  const Deck& deck,
                                                                  const Mesh& mesh);

/// All calls are collective over the mesh. `deck` is resolved and its vocabulary known.
class Trainer {
 public:
  Trainer(const Exec& ex, const Deck& deck, const Mesh& mesh, PhaseClock& clock);
  /// Takes model parts that the caller built. Units that build_parts() makes may be replaced by
  /// others.
  Trainer(const Exec& ex, const Deck& deck, const Mesh& mesh, PhaseClock& clock,
          std::vector<std::unique_ptr<ModelPart>> parts);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  struct StepResult {
    std::int64_t iteration = 0;
    /// Mean over the global batch's targets that count, before the update; 0 if none does.
    double loss = 0;
    /// Auxiliary losses that modules added, as a mean over micro-batches, divided by the share
    /// of targets that count. Training minimizes loss + auxiliary_loss.
    double auxiliary_loss = 0;
    double gradient_norm = 0;
    double lr = 0;
    double loss_scale = 1;       ///< this step's
    double next_loss_scale = 1;  ///< the next step's
    bool skipped = false;        ///< no update, as gradients overflowed or were an outlier
    bool outlier = false;        ///< ... an outlier
    std::string overflow = {};   ///< names the first such gradient and its micro-batch
    /// Elements through collectives over dp in this step, as in DpTraffic.
    std::int64_t reduced = 0;
    std::int64_t gathered = 0;
    std::int64_t nearby = 0;     ///< gathered from neighbours alone
    std::int64_t quantized = 0;  ///< bytes of quantized values gathered
    /// Bytes of signs and scales over dp, by which an optimizer averaged in their place.
    std::int64_t compressed = 0;
    std::int64_t parameters = 0;  ///< local_parameters(), to compare with
    std::int64_t samples = 0;     ///< this step's
    std::int64_t consumed = 0;    ///< samples of the run, with this step's
    std::int64_t seq = 0;         ///< tokens of each sample that were used
    double layer_keep = 1;        ///< share of micro-batches that the last layer processes
    double noise_scale = 0;       ///< in samples; 0: no estimate with this step
    OffloadTraffic offload;       ///< this rank's, since the last step; zeros without files
  };
  /// Queues one update from the global batch that begins with sample `first`. On a GPU the
  /// update may not have begun when the call returns. The device decides whether to update at
  /// all.
  void step(std::int64_t iteration, std::uint64_t first, std::vector<std::int32_t> tokens);
  /// Whether collect() would return at once, or must be called before the next step.
  [[nodiscard]] bool should_collect() const;
  /// Calls `watch` on this rank before each pass of a step or an evaluation. See
  /// PipelineExecutor::watch(). A step that any rank gave up changes nothing and has no result.
  void watch(PassWatch watch) { executor_.watch(std::move(watch)); }
  /// Whether the last collected step was given up by any rank.
  [[nodiscard]] bool gave_up() const { return decided_.given_up > 0; }
  /// Waits for the steps since the last call, and returns their results in order. A step whose
  /// loss or gradient is not finite, and which may not be skipped, halts the run. This step and
  /// all later ones change no value and have no result, and report() throws.
  [[nodiscard]] std::vector<StepResult> collect();
  /// Throws Error, on all ranks, if the last collect() found a step that halts the run.
  void report();
  /// Throws Error, on all ranks, if a fixed loss scale let no step since the last load() update
  /// anything.
  void require_updates() const;
  /// The result of an evaluation.
  struct Evaluation {
    double loss = 0;                       ///< mean over the targets that count, in nats
    double bits_per_byte = 0;              ///< 0: not known
    std::optional<ClassScores> classes{};  ///< empty: the model predicts tokens
  };
  /// Evaluates `batches` global batches of `source`, from its first sample on. `source` is null
  /// on stages that read no tokens. `text_bytes` are each id's bytes of text, or empty. Empty
  /// if any rank's watch gave the evaluation up. Throws Error, on all ranks, if no target
  /// counts.
  [[nodiscard]] std::optional<Evaluation> evaluate(
      const SampleSource* source, std::int64_t batches,
      std::span<const std::uint16_t> text_bytes = {});

  /// Calls `use` while parts() have the values that evaluations take. These are the moving
  /// average, unless the deck asks for the values themselves. They stay after an Error that
  /// isn't everywhere. Collective.
  void with_evaluated_values(const std::function<void()>& use);

  /// The boxes of the run's state that this rank holds, for a saver. The boxes live as long as
  /// the trainer. Their content is right after wait_for_values().
  [[nodiscard]] std::vector<HeldPiece> held(bool with_optimizer) const;
  /// Bytes of each box that one rank along dp holds alone: the rank that differs from this one
  /// by its coordinate `dp`. All ranks along dp hold the other boxes of held().
  [[nodiscard]] std::vector<std::int64_t> own_box_bytes(bool with_optimizer, int dp) const;
  enum class StateArray : std::uint8_t { gradients, values, masters };
  /// All boxes of one array of the state that this rank holds, with those that other ranks hold
  /// too. Names are the parameters'. Gradients are the last step's sums over all ranks, times
  /// the loss scale. Values and masters are right after wait_for_values(). Without half
  /// precision there are no masters.
  [[nodiscard]] std::vector<Piece> boxes(StateArray what) const;
  /// Calls `observer` around the units of every later training step. The observer must outlive
  /// the trainer. CUDA graphs hide outputs from an observer.
  void add_observer(UnitObserver& observer) { more_observers_.push_back(&observer); }
  /// Names the first element of the state that is inf or NaN; empty if all are finite. Call
  /// after wait_for_values(). Collective.
  [[nodiscard]] std::string first_bad_state(bool with_optimizer) const;
  /// Waits for gathers of values that a step leaves running beside the next step.
  void wait_for_values() { values_.wait_for_values(); }
  /// Fills the parameters and, if asked, the optimizer's state after `optimizer_steps` updates.
  /// Otherwise the optimizer starts afresh, and adapters or a classifier that the source lacks
  /// keep their values. Ranks that hold equal data share the reading.
  /// Throws Error on all ranks if the source can't be read; values are then undefined.
  void load(WeightSource& source, bool with_optimizer, std::int64_t optimizer_steps);

  /// Updates so far, as of the last collect().
  [[nodiscard]] std::int64_t optimizer_steps() const {
    return static_cast<std::int64_t>(decided_.updates);
  }
  [[nodiscard]] const BatchLayout& layout() const { return layout_; }
  /// The model's parts on this rank, one for each chunk. Below ZeRO's stage 3 their values are
  /// whole and bound, and right after wait_for_values().
  [[nodiscard]] const std::vector<std::unique_ptr<ModelPart>>& parts() const { return parts_; }
  [[nodiscard]] std::size_t peak_tape_bytes() const { return executor_.peak_tape_bytes(); }
  /// Bytes of pinned host memory taken so far for inputs of layers.
  [[nodiscard]] std::size_t host_bytes() const {
    std::size_t sum = 0;
    for (const auto& part : parts_) sum += part->host_bytes();
    return sum;
  }
  struct StateBytes {
    std::size_t values = 0;
    std::size_t gradients = 0;
    std::size_t optimizer = 0;
  };
  /// Bytes of memory that this rank keeps from step to step.
  [[nodiscard]] StateBytes state_bytes() const {
    return {values_.value_bytes(), gradients_.bytes(),
            values_.master_bytes() + optimizer_.state_bytes() +
                (state_file_ ? state_file_->pool_bytes() : 0) +
                (average_ ? average_->bytes() : 0) +
                (window_gradient_ ? window_gradient_->bytes() : 0)};
  }
  /// The file with this rank's optimizer state; null if the state is in memory.
  [[nodiscard]] const StateFile* state_file() const { return state_file_.get(); }
  /// Elements of this rank's parameters, frozen ones too, with the gaps between parameters.
  [[nodiscard]] std::int64_t local_parameters() const { return flat_.count(); }
  /// Elements that went through collectives over dp so far: each counts once, however many
  /// ranks it was summed over or gathered from.
  struct DpTraffic {
    std::int64_t reduced = 0;
    std::int64_t gathered = 0;
    std::int64_t nearby = 0;     ///< from neighbours alone: key zero_hpz_partition_size
    std::int64_t quantized = 0;  ///< bytes gathered instead: key zero_quantized_weights
  };
  [[nodiscard]] DpTraffic dp_traffic() const {
    return {gradients_.reduced(), values_.gathered() + gradients_.gathered(),
            values_.gathered_nearby(), values_.gathered_quantized()};
  }
  /// State after the last collected step.
  [[nodiscard]] LossScaleState loss_scale() const { return loss_scale_of(decided_); }
  void restore_loss_scale(const LossScaleState& saved);

 private:
  class OverflowWatch;

  /// Updates before iteration `iteration`. A dry run has no updates to count.
  [[nodiscard]] std::int64_t updates_before(std::int64_t iteration) const;
  /// Queues the gradients of a step's global batch, and the sums that the decision reads. Call
  /// Optimizer::begin() first.
  void queue_gradients(const std::vector<MicroBatch>& micro_batches);
  /// Arrays of other lengths don't fit the blocks that the device keeps: gives these back.
  void prepare_length(std::int64_t seq);
  /// Gives the optimizer and the rule of a step the betas that OneCycle sets.
  void use_betas(std::int64_t iteration, StepRule& rule);
  void upload_state();
  /// Adds a collected step, which `state` decided, to the estimate of the noise scale.
  void estimate_noise(StepResult& result, const StepState& state, double window_square);
  /// Names the first gradient that overflowed, which has the least code of all ranks.
  [[nodiscard]] std::string overflow_text(std::int64_t code, bool last) const;
  /// A global batch's evaluation.
  struct Evaluated {
    double loss = 0;     ///< Σ token losses / targets of a batch
    double counted = 0;  ///< share of targets that count
    double bytes = 0;    ///< in the text of these targets
  };
  [[nodiscard]] std::optional<Evaluation> evaluate_values(
      const SampleSource* source, std::int64_t batches,
      std::span<const std::uint16_t> text_bytes);
  /// Sums over all ranks; nothing if any rank gave up. `bytes`: of this rank's targets.
  [[nodiscard]] std::optional<Evaluated> evaluated(const std::vector<MicroBatch>& micro_batches,
                                                   double bytes) const;
  /// Lets an evaluation keep what count_classes() reads.
  void keep_class_logits(std::vector<MicroBatch>& micro_batches) const;
  /// Counts the classes that the model gives to this rank's samples.
  void count_classes(const std::vector<MicroBatch>& micro_batches,
                     const std::vector<std::int32_t>& samples, ClassCounts& counts) const;
  [[nodiscard]] std::string first_bad_tensor();
  [[nodiscard]] std::string first_bad_parameter(bool gradients) const;
  [[nodiscard]] std::string first_bad_activation(const std::vector<MicroBatch>& micro_batches);
  /// The least of all ranks' texts, empty ones aside, without its first word.
  [[nodiscard]] std::string least(const std::string& text) const;

  /// Calls f(prefix, group, array) for every array of the state.
  void visit_arrays(bool with_optimizer,
                    const std::function<void(const std::string& kind, std::size_t group,
                                             const FlatArray&)>& f) const;
  /// Whether a parameter has the array of this kind: "optimizer/exp_avg_sq/".
  [[nodiscard]] bool has_array(const std::string& kind, const Parameter& p) const;
  /// A value for each row or column of a parameter, which all ranks of dp hold alike.
  struct Factor;
  [[nodiscard]] std::vector<Factor> factors() const;
  void read_factor(WeightSource& source, const Factor& factor) const;
  void read_history(WeightSource& source) const;
  /// What the rank at `dp` along dp has for itself: errors of compressed means, and local
  /// steps. Arrays of other ranks than this one have no elements.
  [[nodiscard]] std::vector<Piece> rows_of(int dp) const;
  /// Each rank takes the rows of its place along dp, or where dp was another, the mean of all
  /// ranks' rows. A server's errors belong to elements. What the source lacks begins as zeros.
  void read_rows(WeightSource& source) const;
  void read_row(WeightSource& source, const std::string& name, const Parameter& p,
                const View& to) const;
  /// A group whose averages the source lacks keeps those that it has.
  void read_averages(WeightSource& source) const;
  [[nodiscard]] HeldPiece whole_piece(const std::string& kind, const FlatSlice& slice,
                                      const FlatArray& array) const;
  /// Whether this rank stores its share of a sharded parameter.
  [[nodiscard]] bool stores_part_of(const Parameter& p) const;
  /// With `new_may_lack`, adapters and classifiers that the source lacks keep their values.
  void read_own(WeightSource& source, const std::string& kind, std::size_t group,
                const FlatArray& to, bool new_may_lack) const;

  const Exec& ex_;
  const Deck& deck_;
  const Mesh& mesh_;
  PhaseClock& clock_;
  TensorParallel tp_;
  BatchLayout layout_;
  TokenUploads uploads_;
  std::vector<std::unique_ptr<ModelPart>> parts_;
  FlatLayout flat_;
  std::unique_ptr<StateFile> state_file_;
  OffloadTraffic moved_;  ///< until the last step
  ParameterValues values_;
  GradientReducer gradients_;
  ZeroObserver zero_;
  UnitObservers more_observers_;
  Optimizer optimizer_;
  PipelineExecutor executor_;
  StepRule rule_;

  /// A step that was queued and not collected yet.
  struct Queued {
    StepResult result;  ///< fields that the host knows at once
    std::uint64_t first = 0;
    StepShape shape;
    std::vector<std::int32_t> tokens;
  };
  /// What the device reports of a step.
  struct Outcome {
    StepState state;
    std::int64_t overflow = 0;  ///< least code of OverflowWatch
    double window_square = 0;   ///< see WindowGradient
  };
  std::int64_t length_ = 0;  ///< tokens of a sequence in the last batch; 0: there was none
  static constexpr std::size_t kMostQueued = 64;
  std::deque<Queued> queued_;
  std::optional<Queued> halted_;
  bool halted_is_last_ = false;  ///< the halted step's gradients are still in memory
  StepState decided_;            ///< state after the last collected step
  double first_updates_ = 0;     ///< decided_.updates after the last load()
  std::int64_t skipped_ = 0;     ///< steps skipped since the last load()
  Tensor state_;                 ///< StepState
  Tensor history_;               ///< for decide_step(); undefined if outliers aren't skipped
  std::unique_ptr<WeightAverage> average_;           ///< key ema
  std::unique_ptr<WindowGradient> window_gradient_;  ///< key log_gradient_noise_scale
  NoiseScale noise_scale_;
  std::unique_ptr<OverflowWatch> overflow_;
  Outcome* outcomes_;  ///< [kMostQueued], pinned; steps in turn
  std::size_t next_outcome_ = 0;
};

}  // namespace trireme
