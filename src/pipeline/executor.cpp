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
      clock_(clock) {}

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
  std::map<Key, Tape> tapes;
  const auto micro_batch = [&](const PlanStep& s) -> const MicroBatch& {
    return micro_batches[static_cast<std::size_t>(s.micro_batch)];
  };
  std::vector<int> left(parts_.size(), 0);  // backwards still to do, by chunk
  for (const PlanStep& s : steps) {
    if (s.kind == PlanStep::Kind::backward) ++left[static_cast<std::size_t>(s.chunk)];
  }
  if (!steps.empty()) post_receive(steps.front(), micro_batch(steps.front()));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const PlanStep& step = steps[i];
    Tensor input = take_input(step);
    if (i + 1 < steps.size()) post_receive(steps[i + 1], micro_batch(steps[i + 1]));
    ModelPart& part = *parts_[static_cast<std::size_t>(step.chunk)];
    const Key key{step.micro_batch, step.chunk};
    Tensor output;
    if (step.kind == PlanStep::Kind::forward) {
      const auto scope = clock_.scope(Phase::forward);
      Tape& tape = tapes.try_emplace(key, micro_batch(step)).first->second;
      output = part.forward(ex_, std::move(input), tape, hooks.observe);
      if (!tape.recording()) tapes.erase(key);
      std::size_t held = 0;
      for (const auto& [k, t] : tapes) held += t.bytes();
      peak_tape_bytes_ = std::max(peak_tape_bytes_, held);
    } else {
      const auto scope = clock_.scope(Phase::backward);
      const bool last = --left[static_cast<std::size_t>(step.chunk)] == 0;
      output =
          part.backward(ex_, std::move(input), tapes.at(key), last ? hooks.unit_done : nullptr);
      tapes.erase(key);
    }
    hand_on(step, std::move(output));
    prune_sends(false);
    if (hooks.progress) hooks.progress();
  }
  prune_sends(true);
  TRM_CHECK(incoming_.empty(), "{} messages were received for no step", incoming_.size());
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
    const auto scope = clock_.scope(Phase::pipeline_wait);
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
