// SPDX-License-Identifier: Apache-2.0
// Runs a plan: micro-batches pass through this stage's model parts. Activations and gradients
// travel between stages without blocking.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/pipeline/plan.hpp"

namespace trireme {

class MicroBatchGraphs;

/// What a rank is about to compute: one pass of its plan.
struct PassNews {
  bool training = true;
  std::int64_t pass = 0;    ///< number of the pass in the step, from 0
  std::int64_t passes = 0;  ///< passes of the step on this rank
  int micro_batch = 0;      ///< number in the step, from 0
  int micro_batches = 0;
};
/// Called before each pass. Returns whether to give up the step.
using PassWatch = std::function<bool(const PassNews&)>;

class PipelineExecutor {
 public:
  /// `parts[c]` is this stage's chunk c. `tp` gives the number of rows of an activation here.
  PipelineExecutor(const Exec& ex, const Mesh& mesh, const TensorParallel& tp,
                   PipelineSchedule schedule, DType dtype,
                   std::vector<std::unique_ptr<ModelPart>>& parts, PhaseClock& clock);
  ~PipelineExecutor();
  PipelineExecutor(const PipelineExecutor&) = delete;
  PipelineExecutor& operator=(const PipelineExecutor&) = delete;

  /// Makes micro-batches in training CUDA graphs after the first ones. This needs a single
  /// stage and chunk, and no tensor parallelism, gpipe or dropout. Observers are still called
  /// for each use, but before the work of a whole pass. While a micro-batch is captured,
  /// observers are called within the pass. Observers may queue work in the first and last
  /// micro-batch of a step alone, and only if `communicates` is set; see MicroBatchGraphs.
  void use_graphs(bool communicates);

  /// Calls `watch` before each pass. Once `watch` gives up on a rank, this rank computes none
  /// of the remaining passes of the step, and neither does its tensor-parallel group. All
  /// communication still takes place, with arrays of any content. CUDA graphs ignore the wish.
  /// In steps of seconds the host queues at most two passes ahead of a GPU. The rest of a step
  /// can then be given up.
  void watch(PassWatch watch) { watch_ = std::move(watch); }
  /// Whether this rank left out a pass of the last train() or evaluate().
  [[nodiscard]] bool gave_up() const { return gave_up_; }

  /// Runs forward and backward of all micro-batches, and accumulates gradients. UnitUse::part
  /// is the chunk.
  void train(const std::vector<MicroBatch>& micro_batches, const UnitObservers& observers);
  /// Runs forward alone.
  void evaluate(const std::vector<MicroBatch>& micro_batches, const UnitObservers& observers);
  /// Most bytes of the device that the tapes held at once, over all steps so far.
  [[nodiscard]] std::size_t peak_tape_bytes() const { return peak_tape_bytes_; }

 private:
  struct Message {
    Tensor tensor;
    RequestPtr request;
  };
  using Key = std::pair<int, int>;  ///< micro-batch, chunk

  void run(const std::vector<PlanStep>& steps, const std::vector<MicroBatch>& micro_batches,
           const UnitObservers& observers);
  [[nodiscard]] std::vector<UnitUse> list_uses(
      const std::vector<PlanStep>& steps, const std::vector<MicroBatch>& micro_batches) const;
  [[nodiscard]] Tensor compute(const PlanStep& step, const MicroBatch& mb, Tensor input,
                               std::map<Key, Tape>& tapes, const UnitObservers& observers);
  /// Runs a model part over its units, as a graph if graphs are used.
  [[nodiscard]] Tensor pass(const PlanStep& step, Tensor input, Tape& tape,
                            const UnitObservers& observers);
  /// Asks the watch, and agrees within the tensor-parallel group.
  void consider(const PassNews& news);
  /// Waits for the pass before the last one, in long steps on a GPU.
  void wait_for_earlier_pass();
  /// A pass without its computation: calls the observers alone.
  [[nodiscard]] Tensor leave_out(const PlanStep& step, const Tape& tape,
                                 const UnitObservers& observers);
  void post_receive(const PlanStep& step, const MicroBatch& mb);
  [[nodiscard]] Tensor take_input(const PlanStep& step);
  void hand_on(const PlanStep& step, Tensor output);
  void prune_sends(bool wait);

  const Exec& ex_;
  const Mesh& mesh_;
  TensorParallel tp_;
  PipelineSchedule schedule_;
  DType dtype_;
  std::vector<std::unique_ptr<ModelPart>>& parts_;
  PhaseClock& clock_;
  std::map<int, Message> incoming_;  ///< key: tag
  std::vector<Message> outgoing_;
  std::size_t peak_tape_bytes_ = 0;
  std::unique_ptr<MicroBatchGraphs> graphs_;
  PassWatch watch_;
  bool gave_up_ = false;
  double began_ = 0;                  ///< the last train(), by now()
  bool long_step_ = false;            ///< whether a step takes seconds
  std::unique_ptr<Event> last_pass_;  ///< its end, in long steps on a GPU
};

}  // namespace trireme
