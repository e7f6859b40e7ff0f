// SPDX-License-Identifier: Apache-2.0
// A training step from micro-batches to the update.
#include "trireme/train/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "trireme/deck/graph_limits.hpp"
#include "trireme/deck/stage_bounds.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/update.hpp"
#include "trireme/optim/schedule.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kNoOverflow = std::numeric_limits<std::int64_t>::max();

/// Where a gradient overflowed, as a number that is the less the earlier in the step it is.
struct OverflowCode {
  std::int64_t micro_batch;
  std::int64_t part;       ///< of the model
  std::int64_t unit;       ///< of the part
  std::int64_t parameter;  ///< of the unit

  static constexpr std::int64_t kParts = 100'000;
  static constexpr std::int64_t kUnits = 100'000;
  static constexpr std::int64_t kParameters = 1'000;

  [[nodiscard]] std::int64_t packed() const {
    return ((micro_batch * kParts + kParts - 1 - part) * kUnits + kUnits - 1 - unit) *
               kParameters +
           kParameters - 1 - parameter;
  }
  static OverflowCode unpack(std::int64_t code) {
    OverflowCode c{};
    c.parameter = kParameters - 1 - code % kParameters;
    code /= kParameters;
    c.unit = kUnits - 1 - code % kUnits;
    code /= kUnits;
    c.part = kParts - 1 - code % kParts;
    c.micro_batch = code / kParts;
    return c;
  }
};

}  // namespace

Trainer::Trainer(const Exec& ex, const Deck& deck, const Mesh& mesh, PhaseClock& clock)
    : ex_(ex),
      deck_(deck),
      mesh_(mesh),
      clock_(clock),
      tp_{mesh.tp.get(), deck.sequence_parallel},
      layout_(deck, mesh),
      uploads_(ex),
      parts_(build_parts()),
      flat_(parts_, mesh.shape.dp,
            std::min(deck.zero.reduce_bucket_size, deck.zero.allgather_bucket_size),
            deck.zero.stage3_param_persistence_threshold),
      values_(ex, flat_, mesh, deck.zero, deck.types),
      gradients_(ex, flat_, mesh, deck.zero, deck.types, !deck.model.no_weight_tying),
      optimizer_(ex, deck.optimizer, deck.zero, deck.types, flat_, mesh, values_, gradients_),
      executor_(ex, mesh, tp_, deck.pipeline_schedule, deck.model.hidden_size,
                deck.types.compute, parts_, clock),
      rule_(step_rule(deck.optimizer, deck.loss_scale)),
      decided_(first_step_state(deck.loss_scale)),
      state_(ex.make(DType::f64, Shape{StepState::kSlots})),
      overflow_(ex.make(DType::i64, Shape{2})),
      outcomes_(static_cast<Outcome*>(ex.device.allocate_host(kMostQueued * sizeof(Outcome)))) {
  if (deck.cuda_graphs && ex.device.stands_for() == DeviceKind::cuda) {
    check_graphs(deck, mesh.shape);
    executor_.use_graphs(mesh.shape.dp > 1);
  }
  values_.initialize(deck.model, deck.seed);
  ex.device.copy_from_host(overflow_.data<std::int64_t>() + 1, &kNoOverflow, sizeof kNoOverflow,
                           ex.stream);
  upload_state();
}

Trainer::~Trainer() { ex_.device.release_host(outcomes_); }

void Trainer::upload_state() {
  ex_.device.copy_from_host(state_.view().raw(), &decided_, sizeof decided_, ex_.stream);
  ex_.stream.synchronize();
}

void Trainer::restore_loss_scale(const LossScaleState& saved) {
  trireme::restore_loss_scale(decided_, saved);
  upload_state();
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
    ex_.device.begin_range(
        parts_[static_cast<std::size_t>(use.chunk)]->units()[use.unit.unit]->name());
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
    ex_.device.end_range();
  };
  hooks.progress = [this] {
    const auto scope = clock_.scope(Phase::reduce);
    gradients_.progress();
  };
  return hooks;
}

void Trainer::queue_gradients(const std::vector<MicroBatch>& micro_batches) {
  const View state = state_;
  {
    const auto scope = clock_.scope(Phase::optimizer);
    gradients_.begin(static_cast<int>(micro_batches.size()));
    auto* codes = overflow_.data<std::int64_t>();  // the least one, and that of none
    ex_.device.copy(codes, codes + 1, sizeof *codes, ex_.stream);
    ex_.device.zero(state.raw(), 2 * sizeof(double), ex_.stream);
  }
  executor_.train(micro_batches, hooks(true));
  const auto scope = clock_.scope(Phase::reduce);
  gradients_.wait_for_sums();
  const View sums = View(state.raw(), DType::f64, Shape{2});  // StepState's squares and loss
  optimizer_.add_squares(View(sums.raw(), DType::f64, Shape{1}));
  if (mesh_.last_stage() && mesh_.at.tp == 0) {
    ex_.device.copy(sums.data<double>() + 1, micro_batches.front().loss_sum.view().raw(),
                    sizeof(double), ex_.stream);
  }
  mesh_.everyone().all_reduce(sums, Reduction::sum);
}

void Trainer::step(std::int64_t iteration, std::uint64_t first,
                   std::vector<std::int32_t> tokens) {
  TRM_CHECK(queued_.size() < kMostQueued && !halted_, "{} steps were not collected",
            queued_.size());
  auto micro_batches = layout_.micro_batches(ex_, uploads_, first, tokens, true);
  for (MicroBatch& mb : micro_batches) {
    mb.loss_scale = View(state_.data<double>() + StepState::kScaleSlot, DType::f64, Shape{1});
  }
  Queued queued;
  StepResult& result = queued.result;
  const DpTraffic before = dp_traffic();
  queue_gradients(micro_batches);
  result.iteration = iteration;
  result.lr = learning_rate(deck_.schedule, iteration);
  const auto scope = clock_.scope(Phase::optimizer);
  ops::decide_step(ex_, rule_, state_);
  optimizer_.step(result.lr, state_);
  Outcome& outcome = outcomes_[next_outcome_];
  ex_.device.copy_to_host(&outcome.state, state_.view().raw(), sizeof outcome.state,
                          ex_.stream);
  ex_.device.copy_to_host(&outcome.overflow, overflow_.view().raw(), sizeof outcome.overflow,
                          ex_.stream);
  next_outcome_ = (next_outcome_ + 1) % kMostQueued;
  result.reduced = dp_traffic().reduced - before.reduced;
  result.gathered = dp_traffic().gathered - before.gathered;
  result.parameters = flat_.count();
  queued.first = first;
  queued.tokens = std::move(tokens);
  queued_.push_back(std::move(queued));
}

bool Trainer::should_collect() const {
  return ex_.device.kind() != DeviceKind::cuda || queued_.size() == kMostQueued;
}

std::vector<Trainer::StepResult> Trainer::collect() {
  ex_.stream.synchronize();
  std::vector<StepResult> results;
  while (!queued_.empty()) {
    const Outcome& outcome =
        outcomes_[(next_outcome_ + kMostQueued - queued_.size()) % kMostQueued];
    StepResult& result = queued_.front().result;
    const double weight =
        1.0 / static_cast<double>(deck_.train_batch_size * deck_.model.seq_length);
    result.loss = outcome.state.loss * weight;
    result.gradient_norm = outcome.state.norm;
    result.loss_scale = decided_.scale;
    result.next_loss_scale = outcome.state.scale;
    result.skipped = outcome.state.updated == 0;
    decided_ = outcome.state;
    if (result.skipped && rule_.skips) {
      result.overflow = overflow_text(outcome.overflow, queued_.size() == 1);
    }
    if (outcome.state.halted != 0) {
      halted_ = std::move(queued_.front());
      halted_is_last_ = queued_.size() == 1;
      queued_.clear();
      break;
    }
    results.push_back(std::move(result));
    queued_.pop_front();
  }
  return results;
}

void Trainer::look_for_overflow(const PipelineExecutor::Use& use) {
  const int part = model_part(mesh_.at.pp, use.chunk, mesh_.shape.pp);
  std::int64_t parameter = 0;
  parts_[static_cast<std::size_t>(use.chunk)]->units()[use.unit.unit]->visit(
      [&](const Parameter& p) {
        // Backward comes from the end of the model, and of the unit: the last of them counts.
        const std::int64_t code =
            OverflowCode{use.micro_batch, part, static_cast<std::int64_t>(use.unit.unit),
                         parameter++}
                .packed();
        ops::note_non_finite(ex_, p.grad.reshape(Shape{p.grad.count()}), code,
                             View(overflow_.view().raw(), DType::i64, Shape{1}));
      });
}

std::string Trainer::overflow_text(std::int64_t code, bool last) const {
  const std::int64_t first = mesh_.world->reduce_count(code, Reduction::min);
  std::string text;
  if (first != kNoOverflow && first == code) {
    const auto at = OverflowCode::unpack(code);
    const int stages = mesh_.shape.pp;
    Module& unit = *parts_[static_cast<std::size_t>(at.part / stages)]
                        ->units()[static_cast<std::size_t>(at.unit)];
    std::int64_t number = 0;
    unit.visit([&](const Parameter& p) {
      if (number++ != at.parameter) return;
      text = fmt::format("0 the gradient of {}, micro-batch {}", p.name, at.micro_batch + 1);
    });
  }
  text = least(text);
  if (!text.empty()) return text;
  const std::string where = last ? first_bad_parameter(true) : "";
  return fmt::format("{}, summed over micro-batches and ranks: sent in {}, kept in {}",
                     where.empty() ? "a gradient" : where, name_of(deck_.types.communication),
                     name_of(deck_.types.gradient));
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
    const auto micro_batches = layout_.micro_batches(ex_, uploads_, first, tokens, false);
    executor_.evaluate(micro_batches, hooks(false));
    sum += global_loss(micro_batches);
  }
  return sum / static_cast<double>(batches);
}

void Trainer::report() {
  if (!halted_) return;
  const StepResult& result = halted_->result;
  if (rule_.skips) {
    Error error(fmt::format("iteration {}: {} (first: {})", result.iteration,
                            lowest_scale_text(rule_, result.loss_scale), result.overflow));
    throw error.set_everywhere();
  }
  const std::string culprit = first_bad_tensor();
  Error error(fmt::format(
      "the {} is not finite at iteration {}; the first tensor with inf or NaN is {}. A lower "
      "lr, a longer warmup or a smaller gradient_clipping may help{}",
      std::isfinite(result.loss) ? "gradient" : "loss", result.iteration,
      culprit.empty() ? "none of parameters, activations and gradients" : culprit,
      deck_.save.empty() ? "" : "; what was saved before is intact"));
  throw error.set_everywhere();
}

/// The halted step's: parameters are as they were before it.
std::string Trainer::first_bad_tensor() {
  std::string culprit = first_bad_parameter(false);
  if (!culprit.empty()) return culprit;
  const auto batches = [&](bool training) {
    return layout_.micro_batches(ex_, uploads_, halted_->first, halted_->tokens, training);
  };
  culprit = first_bad_activation(batches(false));
  if (!culprit.empty()) return culprit;
  if (!halted_is_last_) {  // later steps' gradients lie where its were
    queue_gradients(batches(true));
    gradients_.gather();
  }
  return first_bad_parameter(true);
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
