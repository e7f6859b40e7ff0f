// SPDX-License-Identifier: Apache-2.0
// One executor for all schedules: runs the steps of any plan.
#include "trireme/pipeline/executor.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "micro_batch_graphs.hpp"

namespace trireme {

namespace {

constexpr double kLongStep = 2;  // seconds; waits within a longer step cost next to nothing

}  // namespace

PipelineExecutor::PipelineExecutor(const Exec& ex, const Mesh& mesh, const TensorParallel& tp,
                                   PipelineSchedule schedule, DType dtype,
                                   std::vector<std::unique_ptr<ModelPart>>& parts,
                                   PhaseClock& clock)
    : ex_(ex),
      mesh_(mesh),
      tp_(tp),
      schedule_(schedule),
      dtype_(dtype),
      parts_(parts),
      clock_(clock) {
  mesh_.pp->connect_ring();
}

PipelineExecutor::~PipelineExecutor() = default;

void PipelineExecutor::use_graphs(bool communicates) {
  TRM_CHECK(mesh_.shape.pp == 1 && parts_.size() == 1 && mesh_.shape.tp == 1 &&
                schedule_ != PipelineSchedule::gpipe,
            "CUDA graphs need one stage, one chunk, no tensor parallelism, no gpipe");
  graphs_ = std::make_unique<MicroBatchGraphs>(ex_, clock_, communicates);
}

void PipelineExecutor::train(const std::vector<MicroBatch>& micro_batches,
                             const UnitObservers& observers) {
  const double before = std::exchange(began_, now());
  long_step_ = before > 0 && began_ - before > kLongStep;
  if (graphs_) graphs_->begin(micro_batches);
  run(plan(schedule_, mesh_.at.pp, mesh_.shape.pp, static_cast<int>(micro_batches.size()),
           static_cast<int>(parts_.size())),
      micro_batches, observers);
  if (graphs_) graphs_->end();
}

void PipelineExecutor::evaluate(const std::vector<MicroBatch>& micro_batches,
                                const UnitObservers& observers) {
  run(forward_only(mesh_.shape.pp, static_cast<int>(micro_batches.size()),
                   static_cast<int>(parts_.size())),
      micro_batches, observers);
}

void PipelineExecutor::run(const std::vector<PlanStep>& steps,
                           const std::vector<MicroBatch>& micro_batches,
                           const UnitObservers& observers) {
  const auto uses = list_uses(steps, micro_batches);
  for (UnitObserver* o : observers) o->begin(uses);
  std::optional<Arena::Scope> apart;  // evaluations take memory from this arena, too
  if (graphs_) apart.emplace(graphs_->arena(), Arena::Place::inside);
  std::map<Key, Tape> tapes;
  const auto micro_batch = [&](const PlanStep& s) -> const MicroBatch& {
    return micro_batches[static_cast<std::size_t>(s.micro_batch)];
  };
  gave_up_ = false;
  if (!steps.empty()) post_receive(steps.front(), micro_batch(steps.front()));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const PlanStep& step = steps[i];
    Tensor input = take_input(step);
    if (i + 1 < steps.size()) post_receive(steps[i + 1], micro_batch(steps[i + 1]));
    consider({.training = micro_batch(step).training,
              .pass = static_cast<std::int64_t>(i),
              .passes = static_cast<std::int64_t>(steps.size()),
              .micro_batch = step.micro_batch,
              .micro_batches = static_cast<int>(micro_batches.size())});
    hand_on(step, compute(step, micro_batch(step), std::move(input), tapes, observers));
    wait_for_earlier_pass();
    prune_sends(false);
    for (UnitObserver* o : observers) o->progress();
  }
  prune_sends(true);
  TRM_CHECK(incoming_.empty(), "{} received messages belong to no step", incoming_.size());
}

void PipelineExecutor::consider(const PassNews& news) {
  if (!watch_) return;
  const bool mine = watch_(news) && !graphs_;
  if (gave_up_) return;
  // Seams are collectives over tp: its ranks compute a pass together or not at all.
  gave_up_ = mesh_.shape.tp == 1
                 ? mine
                 : mesh_.tp->host().reduce_count(mine ? 1 : 0, Reduction::max) != 0;
}

void PipelineExecutor::wait_for_earlier_pass() {
  if (!long_step_ || !watch_ || graphs_ || ex_.device.kind() != DeviceKind::cuda) return;
  auto end = ex_.stream.record();
  if (last_pass_) last_pass_->synchronize();
  last_pass_ = std::move(end);
}

std::vector<UnitUse> PipelineExecutor::list_uses(
    const std::vector<PlanStep>& steps, const std::vector<MicroBatch>& micro_batches) const {
  std::vector<UnitUse> uses;
  for (const PlanStep& s : steps) {
    const PartPass place{static_cast<std::size_t>(s.chunk), s.micro_batch};
    const ModelPart& part = *parts_[place.part];
    const bool training = micro_batches[static_cast<std::size_t>(s.micro_batch)].training;
    const auto more = s.kind == PlanStep::Kind::forward ? part.forward_uses(training, place)
                                                        : part.backward_uses(place);
    uses.insert(uses.end(), more.begin(), more.end());
  }
  return uses;
}

Tensor PipelineExecutor::compute(const PlanStep& step, const MicroBatch& mb, Tensor input,
                                 std::map<Key, Tape>& tapes, const UnitObservers& observers) {
  const Key key{step.micro_batch, step.chunk};
  const bool forward = step.kind == PlanStep::Kind::forward;
  const auto scope =
      clock_.scope(forward ? Phase::forward : Phase::backward, step.micro_batch, step.chunk);
  const bool fixed = forward && graphs_ && mb.training;
  const MicroBatch& used =
      fixed ? graphs_->take(static_cast<std::size_t>(step.micro_batch)) : mb;
  Tape& tape = forward ? tapes.try_emplace(key, used).first->second : tapes.at(key);
  Tensor output = pass(step, std::move(input), tape, observers);
  std::size_t held = tape.peak_bytes();
  for (const auto& [k, t] : tapes) {
    if (k != key) held += t.bytes();
  }
  peak_tape_bytes_ = std::max(peak_tape_bytes_, held);
  if (!forward || !tape.recording()) tapes.erase(key);
  return output;
}

Tensor PipelineExecutor::pass(const PlanStep& step, Tensor input, Tape& tape,
                              const UnitObservers& observers) {
  const PartPass pass{static_cast<std::size_t>(step.chunk), step.micro_batch, observers};
  ModelPart& part = *parts_[pass.part];
  const bool forward = step.kind == PlanStep::Kind::forward;
  if (gave_up_) return leave_out(step, tape, observers);
  Tensor output;
  const auto work = [&] {
    output = forward ? part.forward(ex_, std::move(input), tape, pass)
                     : part.backward(ex_, std::move(input), tape, pass);
  };
  if (!graphs_ || !tape.micro_batch().training) {
    work();
    return output;
  }
  graphs_->run(step.kind, work, [&] {
    part.observe_uses(ex_, forward ? part.forward_uses(true, pass) : part.backward_uses(pass),
                      pass);
  });
  return output;
}

Tensor PipelineExecutor::leave_out(const PlanStep& step, const Tape& tape,
                                   const UnitObservers& observers) {
  const PartPass pass{static_cast<std::size_t>(step.chunk), step.micro_batch, observers};
  const ModelPart& part = *parts_[pass.part];
  const MicroBatch& mb = tape.micro_batch();
  const bool forward = step.kind == PlanStep::Kind::forward;
  const auto uses = forward ? part.forward_uses(mb.training, pass) : part.backward_uses(pass);
  parts_[pass.part]->observe_uses(ex_, uses, pass);
  if (!output_to(step, mesh_.at.pp, mesh_.shape.pp, static_cast<int>(parts_.size()))) return {};
  return ex_.zeros(dtype_, Shape{tp_.local_rows(mb.rows()),
                                 forward ? part.output_width() : part.input_width()});
}

void PipelineExecutor::post_receive(const PlanStep& step, const MicroBatch& mb) {
  const int chunks = static_cast<int>(parts_.size());
  const auto from = input_from(step, mesh_.at.pp, mesh_.shape.pp, chunks);
  if (!from || from->stage == mesh_.at.pp) return;
  const bool forward = step.kind == PlanStep::Kind::forward;
  const ModelPart& part = *parts_[static_cast<std::size_t>(step.chunk)];
  if (!forward && !part.has_backward()) return;
  const int tag = message_tag(step, chunks);
  Message m;
  m.tensor = ex_.make(dtype_, Shape{tp_.local_rows(mb.rows()),
                                    forward ? part.input_width() : part.output_width()});
  m.request = mesh_.pp->start_receive(m.tensor, from->stage, tag);
  incoming_.emplace(tag, std::move(m));
}

Tensor PipelineExecutor::take_input(const PlanStep& step) {
  const int tag = message_tag(step, static_cast<int>(parts_.size()));
  const auto it = incoming_.find(tag);
  if (it == incoming_.end()) return {};
  if (it->second.request) {
    const auto scope = clock_.scope(Phase::pipeline_wait, step.micro_batch, step.chunk);
    it->second.request->wait();
  }
  Tensor input = std::move(it->second.tensor);
  incoming_.erase(it);
  return input;
}

void PipelineExecutor::hand_on(const PlanStep& step, Tensor output) {
  const int chunks = static_cast<int>(parts_.size());
  const auto to = output_to(step, mesh_.at.pp, mesh_.shape.pp, chunks);
  const bool forward = step.kind == PlanStep::Kind::forward;
  if (!to || (!forward && !parts_[static_cast<std::size_t>(step.chunk)]->passes_gradient())) {
    return;
  }
  PlanStep taker = step;
  taker.chunk = to->chunk;
  const int tag = message_tag(taker, chunks);
  if (to->stage == mesh_.at.pp) {
    incoming_.emplace(tag, Message{std::move(output), nullptr});
    return;
  }
  Message m{std::move(output), nullptr};
  m.request = mesh_.pp->start_send(m.tensor, to->stage, tag);
  outgoing_.push_back(std::move(m));
}

void PipelineExecutor::prune_sends(bool wait) {
  if (wait) {
    const auto scope = clock_.scope(Phase::pipeline_wait);
    for (Message& m : outgoing_) m.request->wait();
    outgoing_.clear();
    return;
  }
  std::erase_if(outgoing_, [](Message& m) { return m.request->test(); });
}

}  // namespace trireme
