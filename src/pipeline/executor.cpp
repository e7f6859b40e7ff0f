// SPDX-License-Identifier: Apache-2.0
// One executor for all schedules: the plan says what, this says how.
#include "trireme/pipeline/executor.hpp"

#include <algorithm>

namespace trireme {

PipelineExecutor::PipelineExecutor(const Exec& ex, const Mesh& mesh, const TensorParallel& tp,
                                   PipelineSchedule schedule, std::int64_t hidden_size,
                                   DType dtype, std::vector<std::unique_ptr<ModelPart>>& parts,
                                   PhaseClock& clock)
    : ex_(ex),
      mesh_(mesh),
      tp_(tp),
      schedule_(schedule),
      hidden_(hidden_size),
      dtype_(dtype),
      parts_(parts),
      clock_(clock) {
  mesh_.pp->connect_ring();
}

void PipelineExecutor::train(const std::vector<MicroBatch>& micro_batches, const Hooks& hooks) {
  run(plan(schedule_, mesh_.at.pp, mesh_.shape.pp, static_cast<int>(micro_batches.size()),
           static_cast<int>(parts_.size())),
      micro_batches, hooks);
}

void PipelineExecutor::evaluate(const std::vector<MicroBatch>& micro_batches,
                                const Hooks& hooks) {
  run(forward_only(mesh_.shape.pp, static_cast<int>(micro_batches.size()),
                   static_cast<int>(parts_.size())),
      micro_batches, hooks);
}

void PipelineExecutor::run(const std::vector<PlanStep>& steps,
                           const std::vector<MicroBatch>& micro_batches, const Hooks& hooks) {
  if (hooks.begin) hooks.begin(list_uses(steps, micro_batches));
  std::map<Key, Tape> tapes;
  const auto micro_batch = [&](const PlanStep& s) -> const MicroBatch& {
    return micro_batches[static_cast<std::size_t>(s.micro_batch)];
  };
  if (!steps.empty()) post_receive(steps.front(), micro_batch(steps.front()));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const PlanStep& step = steps[i];
    Tensor input = take_input(step);
    if (i + 1 < steps.size()) post_receive(steps[i + 1], micro_batch(steps[i + 1]));
    hand_on(step, compute(step, micro_batch(step), std::move(input), tapes, hooks));
    prune_sends(false);
    if (hooks.progress) hooks.progress();
  }
  prune_sends(true);
  TRM_CHECK(incoming_.empty(), "{} messages were received for no step", incoming_.size());
}

std::vector<PipelineExecutor::Use> PipelineExecutor::list_uses(
    const std::vector<PlanStep>& steps, const std::vector<MicroBatch>& micro_batches) const {
  std::vector<Use> uses;
  for (const PlanStep& s : steps) {
    const ModelPart& part = *parts_[static_cast<std::size_t>(s.chunk)];
    const bool training = micro_batches[static_cast<std::size_t>(s.micro_batch)].training;
    for (const UnitUse& unit : s.kind == PlanStep::Kind::forward ? part.forward_uses(training)
                                                                 : part.backward_uses()) {
      uses.push_back({s.chunk, s.micro_batch, unit});
    }
  }
  return uses;
}

Tensor PipelineExecutor::compute(const PlanStep& step, const MicroBatch& mb, Tensor input,
                                 std::map<Key, Tape>& tapes, const Hooks& hooks) {
  const auto of_step = [&](const std::function<void(const Use&)>& hook) {
    std::function<void(const UnitUse&)> f;
    if (hook) f = [&](const UnitUse& unit) { hook({step.chunk, step.micro_batch, unit}); };
    return f;
  };
  const UnitHooks unit_hooks{of_step(hooks.before), of_step(hooks.after), hooks.observe};
  ModelPart& part = *parts_[static_cast<std::size_t>(step.chunk)];
  const Key key{step.micro_batch, step.chunk};
  const bool forward = step.kind == PlanStep::Kind::forward;
  const auto scope =
      clock_.scope(forward ? Phase::forward : Phase::backward, step.micro_batch, step.chunk);
  Tape& tape = forward ? tapes.try_emplace(key, mb).first->second : tapes.at(key);
  Tensor output = forward ? part.forward(ex_, std::move(input), tape, unit_hooks)
                          : part.backward(ex_, std::move(input), tape, unit_hooks);
  std::size_t held = tape.peak_bytes();
  for (const auto& [k, t] : tapes) {
    if (k != key) held += t.bytes();
  }
  peak_tape_bytes_ = std::max(peak_tape_bytes_, held);
  if (!forward || !tape.recording()) tapes.erase(key);
  return output;
}

void PipelineExecutor::post_receive(const PlanStep& step, const MicroBatch& mb) {
  const int chunks = static_cast<int>(parts_.size());
  const auto from = input_from(step, mesh_.at.pp, mesh_.shape.pp, chunks);
  if (!from || from->stage == mesh_.at.pp) return;
  const int tag = message_tag(step, chunks);
  Message m;
  m.tensor = ex_.make(dtype_, Shape{tp_.local_rows(mb.rows()), hidden_});
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
  if (!to) return;
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
