// SPDX-License-Identifier: Apache-2.0
// A training step from micro-batches to the update.
#include "trainer.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "trireme/ops/elementwise.hpp"
#include "trireme/optim/schedule.hpp"

#include "stages.hpp"

namespace trireme {

Trainer::Trainer(const Exec& ex, const Deck& deck, const Mesh& mesh, PhaseClock& clock)
    : ex_(ex),
      deck_(deck),
      mesh_(mesh),
      clock_(clock),
      tp_{mesh.tp.get(), deck.sequence_parallel},
      layout_(deck, mesh),
      parts_(build_parts()),
      flat_(parts_, mesh.shape.dp,
            std::min(deck.zero.reduce_bucket_size, deck.zero.allgather_bucket_size),
            deck.zero.stage3_param_persistence_threshold),
      values_(ex, flat_, mesh, deck.zero, deck.types),
      gradients_(ex, flat_, mesh, deck.zero, deck.types, !deck.model.no_weight_tying),
      optimizer_(ex, deck.optimizer, deck.zero, deck.types, flat_, mesh, values_, gradients_),
      loss_scale_(deck.loss_scale),
      executor_(ex, mesh, tp_, deck.pipeline_schedule, deck.model.hidden_size,
                deck.types.compute, parts_, clock) {
  values_.initialize(deck.model, deck.seed);
}

std::vector<std::unique_ptr<ModelPart>> Trainer::build_parts() const {
  const int stages = mesh_.shape.pp;
  const int chunks = deck_.virtual_pipeline_chunks;
  const auto bounds = stage_bounds(deck_);
  std::vector<std::unique_ptr<ModelPart>> parts;
  for (int c = 0; c < chunks; ++c) {
    const auto i = static_cast<std::size_t>(model_part(mesh_.at.pp, c, stages));
    parts.push_back(std::make_unique<ModelPart>(ex_, deck_.types.compute, deck_.model, tp_,
                                                bounds[i], bounds[i + 1], deck_.recompute));
  }
  return parts;
}

PipelineExecutor::Hooks Trainer::hooks(bool training) {
  using Pass = UnitUse::Pass;
  const auto place = [](const PipelineExecutor::Use& use) {
    return UnitPlace{static_cast<std::size_t>(use.chunk), use.unit.unit};
  };
  const auto gradient_pass = [this](const PipelineExecutor::Use& use) {
    const Module& unit = *parts_[static_cast<std::size_t>(use.chunk)]->units()[use.unit.unit];
    return unit.gradient_in_forward() ? Pass::forward : Pass::backward;
  };
  PipelineExecutor::Hooks hooks;
  hooks.begin = [this, place](const std::vector<PipelineExecutor::Use>& uses) {
    std::vector<UnitPlace> places;
    places.reserve(uses.size());
    for (const auto& use : uses) places.push_back(place(use));
    values_.begin(std::move(places));
  };
  hooks.before = [this, place, training, gradient_pass](const PipelineExecutor::Use& use) {
    const auto scope = clock_.scope(Phase::reduce);
    values_.before(place(use));
    if (training && use.unit.pass == gradient_pass(use)) gradients_.before(place(use));
  };
  hooks.after = [this, place, training, gradient_pass](const PipelineExecutor::Use& use) {
    if (training && deck_.loss_scale.enabled && use.unit.pass == gradient_pass(use)) {
      look_for_overflow(use);
    }
    if (use.unit.pass == Pass::backward) {
      const auto scope = clock_.scope(Phase::reduce);
      gradients_.after_backward(place(use));
    }
    values_.after(place(use));
  };
  hooks.progress = [this] {
    const auto scope = clock_.scope(Phase::reduce);
    gradients_.progress();
  };
  return hooks;
}

Trainer::StepResult Trainer::step(std::int64_t iteration, std::uint64_t first,
                                  const std::vector<std::int32_t>& tokens) {
  auto micro_batches = layout_.micro_batches(ex_, first, tokens, true);
  StepResult result;
  const DpTraffic before = dp_traffic();
  result.loss_scale = loss_scale_.value();
  for (MicroBatch& mb : micro_batches) mb.loss_scale = result.loss_scale;
  overflow_.clear();
  {
    const auto scope = clock_.scope(Phase::optimizer);
    gradients_.begin(static_cast<int>(micro_batches.size()));
  }
  executor_.train(micro_batches, hooks(true));
  {
    const auto scope = clock_.scope(Phase::reduce);
    gradients_.finish();
    result.loss = global_loss(micro_batches);
    result.gradient_norm = optimizer_.gradient_norm() / result.loss_scale;
  }
  result.lr = learning_rate(deck_.schedule, iteration);
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    gradients_.gather();  // what was started must end
    if (!deck_.loss_scale.enabled) report_non_finite(iteration, result, micro_batches);
    skip(iteration, result);
    return result;
  }
  const auto scope = clock_.scope(Phase::optimizer);
  optimizer_.step(result.lr, result.gradient_norm, result.loss_scale);
  loss_scale_.update(false);
  result.next_loss_scale = loss_scale_.value();
  result.reduced = dp_traffic().reduced - before.reduced;
  result.gathered = dp_traffic().gathered - before.gathered;
  result.parameters = flat_.count();
  return result;
}

void Trainer::look_for_overflow(const PipelineExecutor::Use& use) {
  if (!overflow_.empty()) return;
  const int part = model_part(mesh_.at.pp, use.chunk, mesh_.shape.pp);
  parts_[static_cast<std::size_t>(use.chunk)]->units()[use.unit.unit]->visit(
      [&](const Parameter& p) {
        const ConstView grad = p.grad.reshape(Shape{p.grad.count()});
        if (ops::first_non_finite(ex_, grad) < 0) return;
        // Backward comes from the end of the model, and of the unit: the last of them counts.
        overflow_ =
            fmt::format("{:06}{:06}{:06} the gradient of {}, micro-batch {}", use.micro_batch,
                        999999 - part, 999999 - use.unit.unit, p.name, use.micro_batch + 1);
      });
}

void Trainer::skip(std::int64_t iteration, StepResult& result) {
  result.skipped = true;
  result.overflow = least(overflow_);
  if (result.overflow.empty()) {
    result.overflow =
        fmt::format("{}, summed over micro-batches and ranks: sent in {}, kept in {}",
                    first_bad_parameter(true), name_of(deck_.types.communication),
                    name_of(deck_.types.gradient));
  }
  try {
    loss_scale_.update(true);
  } catch (const Error& e) {
    Error error(
        fmt::format("iteration {}: {} (first: {})", iteration, e.what(), result.overflow));
    throw error.set_everywhere();
  }
  result.next_loss_scale = loss_scale_.value();
}

double Trainer::global_loss(const std::vector<MicroBatch>& micro_batches) const {
  double sum = 0;
  if (mesh_.last_stage() && mesh_.at.tp == 0) {
    ex_.device.copy_to_host(&sum, micro_batches.front().loss_sum.view().raw(), sizeof sum,
                            ex_.stream);
    ex_.stream.synchronize();
  }
  return mesh_.world->reduce_value(sum, Reduction::sum) * micro_batches.front().loss_weight;
}

double Trainer::evaluate(const SampleSource* source, std::int64_t batches) {
  double sum = 0;
  for (std::int64_t i = 0; i < batches; ++i) {
    const auto first = static_cast<std::uint64_t>(i * layout_.samples_per_step());
    std::vector<std::int32_t> tokens;
    if (layout_.needs_tokens()) tokens = read_samples(*source, layout_.runs(first));
    const auto micro_batches = layout_.micro_batches(ex_, first, tokens, false);
    executor_.evaluate(micro_batches, hooks(false));
    sum += global_loss(micro_batches);
  }
  return sum / static_cast<double>(batches);
}

void Trainer::report_non_finite(std::int64_t iteration, const StepResult& result,
                                std::vector<MicroBatch> micro_batches) {
  std::string culprit = first_bad_parameter(false);
  if (culprit.empty()) culprit = first_bad_activation(std::move(micro_batches));
  if (culprit.empty()) culprit = first_bad_parameter(true);
  Error error(fmt::format(
      "the {} is not finite at iteration {}; the first tensor with inf or NaN is {}. A lower "
      "lr, a longer warmup or a smaller gradient_clipping may help{}",
      std::isfinite(result.loss) ? "gradient" : "loss", iteration,
      culprit.empty() ? "none of parameters, activations and gradients" : culprit,
      deck_.save.empty() ? "" : "; what was saved before is intact"));
  throw error.set_everywhere();
}

std::string Trainer::first_bad_parameter(bool gradients) const {
  std::map<const Parameter*, std::string> order;  // backward comes from the end of the model
  for (std::size_t c = 0; c < parts_.size(); ++c) {
    const int part = model_part(mesh_.at.pp, static_cast<int>(c), mesh_.shape.pp);
    int at = 0;
    parts_[c]->visit([&](const Parameter& p) {
      ++at;
      order.try_emplace(&p, fmt::format("{:06}{:06}", gradients ? 999999 - part : part,
                                        gradients ? 999999 - at : at));
    });
  }
  std::string found;
  for (std::size_t i = 0; i < flat_.groups().size(); ++i) {
    const FlatArray& array = gradients ? gradients_.sums(i) : values_.values(i);
    for (const FlatSlice& s : flat_.slices(i, mesh_.at.dp)) {
      const std::int64_t bad = ops::first_non_finite(ex_, array.part(s));
      if (bad < 0) continue;
      const auto text = fmt::format("{} {}{}, element {}", order.at(s.parameter),
                                    gradients ? "the gradient of " : "the parameter ",
                                    s.parameter->name, s.first + bad);
      if (found.empty() || text < found) found = text;
    }
  }
  return least(found);
}

std::string Trainer::first_bad_activation(std::vector<MicroBatch> micro_batches) {
  for (MicroBatch& mb : micro_batches) mb.training = false;
  std::string found;
  std::map<std::string, int> order;  // of units in the model
  for (std::size_t c = 0; c < parts_.size(); ++c) {
    const int part = model_part(mesh_.at.pp, static_cast<int>(c), mesh_.shape.pp);
    int at = stage_bounds(deck_)[static_cast<std::size_t>(part)];
    for (const auto& unit : parts_[c]->units()) order[unit->name()] = at++;
  }
  PipelineExecutor::Hooks looking = hooks(false);
  looking.observe = [&](const std::string& unit, const Tensor& y) {
    const bool loss = !y.defined();
    double sum = 0;
    if (loss) {
      ex_.device.copy_to_host(&sum, micro_batches.front().loss_sum.view().raw(), sizeof sum,
                              ex_.stream);
      ex_.stream.synchronize();
    }
    const bool bad = loss ? !std::isfinite(sum)
                          : ops::first_non_finite(ex_, y.view().reshape(Shape{y.count()})) >= 0;
    if (!bad) return;
    const auto text = fmt::format("{:06} {} {}", order.at(unit),
                                  loss ? "the loss of" : "the output of", unit);
    if (found.empty() || text < found) found = text;
  };
  ex_.device.zero(micro_batches.front().loss_sum.view().raw(), sizeof(double), ex_.stream);
  executor_.evaluate(micro_batches, looking);
  return least(found);
}

std::string Trainer::least(const std::string& text) const {
  std::string best;
  for (const std::string& t : mesh_.world->gather_text(text, 0)) {
    if (!t.empty() && (best.empty() || t < best)) best = t;
  }
  best = mesh_.world->broadcast_text(best, 0);
  return best.empty() ? best : best.substr(best.find(' ') + 1);
}

}  // namespace trireme
