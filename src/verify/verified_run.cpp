// SPDX-License-Identifier: Apache-2.0
// Steps of one run, and what this rank holds afterwards.
#include "verified_run.hpp"

#include "trireme/checkpoint/piece.hpp"

namespace trireme {

namespace {

std::int64_t micro_batch_rows(const Deck& deck) {
  return deck.train_micro_batch_size_per_gpu * deck.model.seq_length;
}

/// The row of the recorded outputs at which this rank's begin.
std::int64_t first_row(const Deck& deck, const Mesh& mesh) {
  const std::int64_t rows = micro_batch_rows(deck);
  const TensorParallel tp{mesh.tp.get(), deck.sequence_parallel};
  return mesh.at.dp * rows + (tp.rows_are_cut() ? mesh.at.tp * tp.local_rows(rows) : 0);
}

Trainer::StateArray array_of(VerifyKind kind) {
  using Array = Trainer::StateArray;
  return kind == VerifyKind::gradient ? Array::gradients
         : kind == VerifyKind::master ? Array::masters
                                      : Array::values;
}

}  // namespace

ModelNames names_of(const VerifySetup::Parts& parts, const Shape& output) {
  ModelNames names;
  for (const auto& part : parts) {
    for (const auto& unit : part->units()) names.outputs.push_back({unit->name(), output});
    part->visit([&](const Parameter& p) {
      const auto known = [&](const NamedShape& other) { return other.name == p.name; };
      if (std::ranges::none_of(names.parameters, known)) {
        names.parameters.push_back({p.name, p.global_shape, p.trains});
      }
    });
  }
  names.outputs.pop_back();  // the head's output is the loss
  return names;
}

void OutputRecorder::observe(const UnitUse& use, Module& unit, const Tensor& output) {
  if (!use.training || use.micro_batch >= count_ || !output.defined()) return;
  const Box box(Shape{first_row_ + use.micro_batch * rows_, 0},
                Shape{output.rows(), output.cols()});
  outputs_[unit.name()].push_back({box, to_host(ex_, output), {}});
}

VerifiedRun::VerifiedRun(const VerifySetup& setup, const Deck& deck, const Mesh& mesh,
                         VerifySetup::Parts parts, int count)
    : setup_(setup),
      deck_(deck),
      recorder_(setup.ex, count, micro_batch_rows(deck), first_row(deck, mesh)),
      trainer_(setup.ex, deck, mesh, clock_, std::move(parts)) {
  trainer_.add_observer(recorder_);
  if (setup.start) position_ = setup.start(trainer_, mesh);
}

Trainer::StepResult VerifiedRun::step() {
  const auto first = static_cast<std::uint64_t>(position_.samples);
  std::vector<std::int32_t> tokens;
  if (trainer_.layout().needs_tokens()) {
    tokens = read_samples(*setup_.data, trainer_.layout().runs(first));
  }
  trainer_.step(++position_.iteration, first, std::move(tokens));
  position_.samples += trainer_.layout().samples_from(first);
  const auto results = trainer_.collect();
  trainer_.report();
  trainer_.wait_for_values();
  setup_.ex.stream.synchronize();
  return results.back();
}

LocalBoxes VerifiedRun::take(VerifyKind kind) {
  if (kind == VerifyKind::output) return recorder_.take();
  LocalBoxes boxes;
  for (const Piece& p : trainer_.boxes(array_of(kind))) {
    boxes[p.name].push_back({p.box, {}, p.data});
  }
  return boxes;
}

}  // namespace trireme
