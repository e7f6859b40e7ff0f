// SPDX-License-Identifier: Apache-2.0
// A training step from micro-batches to the update.
#include "trainer.hpp"

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
      store_(ex, DType::f32, list_parameters(parts_)),
      optimizer_(ex, deck.optimizer, store_),
      reducer_(ex, store_, mesh, deck.zero.reduce_bucket_size, !deck.model.no_weight_tying),
      executor_(ex, mesh, tp_, deck.pipeline_schedule, deck.model.hidden_size, DType::f32,
                parts_, clock) {
  store_.initialize(ex, deck.model, deck.seed);
}

std::vector<std::unique_ptr<ModelPart>> Trainer::build_parts() const {
  const int stages = mesh_.shape.pp;
  const int chunks = deck_.virtual_pipeline_chunks;
  const auto bounds = stage_bounds(deck_);
  std::vector<std::unique_ptr<ModelPart>> parts;
  for (int c = 0; c < chunks; ++c) {
    const auto i = static_cast<std::size_t>(model_part(mesh_.at.pp, c, stages));
    parts.push_back(std::make_unique<ModelPart>(ex_, DType::f32, deck_.model, tp_, bounds[i],
                                                bounds[i + 1]));
  }
  return parts;
}

Trainer::StepResult Trainer::step(std::int64_t iteration, std::uint64_t first,
                                  const std::vector<std::int32_t>& tokens) {
  const auto micro_batches = layout_.micro_batches(ex_, first, tokens, true);
  {
    const auto scope = clock_.scope(Phase::optimizer);
    store_.zero_gradients(ex_);
  }
  PipelineExecutor::Hooks hooks;
  hooks.unit_done = [&](Module& unit) {
    const auto scope = clock_.scope(Phase::reduce);
    reducer_.ready(unit);
  };
  hooks.progress = [&] {
    const auto scope = clock_.scope(Phase::reduce);
    reducer_.progress();
  };
  executor_.train(micro_batches, hooks);
  StepResult result;
  {
    const auto scope = clock_.scope(Phase::reduce);
    reducer_.finish();
    result.loss = global_loss(micro_batches);
    result.gradient_norm = optimizer_.gradient_norm(ex_, mesh_);
  }
  result.lr = learning_rate(deck_.schedule, iteration);
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    report_non_finite(iteration, result, micro_batches);
  }
  const auto scope = clock_.scope(Phase::optimizer);
  optimizer_.step(ex_, result.lr, result.gradient_norm);
  return result;
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
    executor_.evaluate(micro_batches, {});
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
  std::string found;
  int at = 0;
  for (std::size_t c = 0; c < parts_.size(); ++c) {
    const int part = model_part(mesh_.at.pp, static_cast<int>(c), mesh_.shape.pp);
    parts_[c]->visit([&](Parameter& p) {
      const View v = gradients ? p.grad : p.value;
      const std::int64_t bad = ops::first_non_finite(ex_, v.reshape(Shape{v.count()}));
      ++at;
      if (bad < 0 || (!gradients && !found.empty())) return;
      // Backward comes from the end: the first bad gradient is the last in the model's order.
      found = fmt::format("{:06}{:06} {}{}, element {}", gradients ? 999999 - part : part,
                          gradients ? 999999 - at : at,
                          gradients ? "the gradient of " : "the parameter ", p.name, bad);
    });
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
  PipelineExecutor::Hooks hooks;
  hooks.observe = [&](const std::string& unit, const Tensor& y) {
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
  executor_.evaluate(micro_batches, hooks);
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
