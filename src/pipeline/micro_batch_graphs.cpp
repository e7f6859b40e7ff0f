// SPDX-License-Identifier: Apache-2.0
// When to capture a micro-batch, and what stays the same from launch to launch.
#include "micro_batch_graphs.hpp"

#include <utility>

#include "trireme/core/log.hpp"

namespace trireme {

namespace {

/// What a micro-batch brings, which a graph reads at fixed addresses.
constexpr Tensor MicroBatch::*kInputs[] = {
    &MicroBatch::tokens,          &MicroBatch::targets,         &MicroBatch::positions,
    &MicroBatch::first_keys,      &MicroBatch::end_keys,        &MicroBatch::token_types,
    &MicroBatch::classifier_rows, &MicroBatch::samples_of_rows, &MicroBatch::mean_factors};

}  // namespace

void MicroBatchGraphs::begin(const std::vector<MicroBatch>& step) {
  step_ = step;
  const MicroBatch& first = step_.front();
  if (!fixed_.loss_sum.defined()) {
    // Frees what initial weights or a checkpoint took, since no arena can use this memory. The
    // peak counts from here.
    ex_.device.trim();
    ex_.device.reset_peak();
    fixed_ = first;
    for (const auto input : kInputs) {
      Tensor& t = fixed_.*input;
      if (t.defined()) t = ex_.make(t.dtype(), t.shape());
    }
    fixed_.loss_sum = ex_.make(first.loss_sum.dtype(), first.loss_sum.shape());
  }
  const View sum = fixed_.loss_sum;
  ex_.device.copy(sum.raw(), first.loss_sum.view().raw(), sum.bytes(), ex_.stream);
}

void MicroBatchGraphs::end() {
  const View sum = step_.front().loss_sum;
  ex_.device.copy(sum.raw(), fixed_.loss_sum.view().raw(), sum.bytes(), ex_.stream);
  step_.clear();
}

MicroBatchGraphs::Mode MicroBatchGraphs::mode_of(std::size_t index) const {
  if (communicates_ && index + 1 == step_.size()) return Mode::eager;
  if (backward_ != nullptr) return Mode::launch;
  return memory_is_stable_ && !(communicates_ && index == 0) ? Mode::capture : Mode::eager;
}

const MicroBatch& MicroBatchGraphs::take(std::size_t index) {
  const MicroBatch& mb = step_[index];
  TRM_CHECK(
      mb.batch == fixed_.batch && mb.seq == fixed_.seq && mb.loss_weight == fixed_.loss_weight,
      "micro-batch {} differs from the captured one", index);
  TRM_CHECK(arena_.in_use() == 0, "{} bytes of the arena are in use between micro-batches",
            arena_.in_use());
  for (const auto input : kInputs) {
    const Tensor& from = mb.*input;
    const Tensor& to = fixed_.*input;
    if (from.defined()) {
      ex_.device.copy(to.view().raw(), from.view().raw(), to.view().bytes(), ex_.stream);
    }
  }
  fixed_.first_sample = mb.first_sample;
  mode_ = mode_of(index);
  reserved_ = arena_.reserved();
  return fixed_;
}

void MicroBatchGraphs::run(PlanStep::Kind kind, const std::function<void()>& work,
                           const std::function<void()>& follow) {
  const bool forward = kind == PlanStep::Kind::forward;
  if (mode_ == Mode::eager) {
    work();
    if (!forward) memory_is_stable_ = arena_.reserved() == reserved_;
    return;
  }
  auto& graph = forward ? forward_ : backward_;
  const auto hold = clock_.hold();  // a time mark in a graph would have no time
  if (mode_ == Mode::capture) {
    graph = capture(work);
    if (!forward) announce();
  } else {
    follow();
  }
  graph->launch(ex_.stream);
}

void MicroBatchGraphs::announce() const {
  if (ex_.device.kind() == DeviceKind::dry) return;
  log::info("graphs   micro-batches are CUDA graphs from here on, in {:.1f} MiB of their own",
            static_cast<double>(arena_.reserved()) / (1 << 20));
}

std::unique_ptr<Graph> MicroBatchGraphs::capture(const std::function<void()>& work) const {
  try {
    return ex_.stream.capture(work);
  } catch (const Error& e) {
    throw Error(
        fmt::format("a micro-batch can't be captured as a CUDA graph: {}; "
                    "cuda_graphs: false runs without graphs",
                    e.what()));
  }
}

}  // namespace trireme
