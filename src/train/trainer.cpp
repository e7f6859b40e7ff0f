// SPDX-License-Identifier: Apache-2.0
// A training step from micro-batches to the update.
#include "trireme/train/trainer.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "trireme/comm/collectively.hpp"
#include "trireme/deck/compression_limits.hpp"
#include "trireme/deck/graph_limits.hpp"
#include "trireme/deck/offload_limits.hpp"
#include "trireme/deck/stage_bounds.hpp"
#include "trireme/ops/eight_bit.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/update.hpp"
#include "trireme/optim/schedule.hpp"

#include "overflow.hpp"

namespace trireme {

namespace {

constexpr double kOne = 1;  // outlives a copy to a device

/// Null where the deck leaves the state in memory, or where there is no state.
std::unique_ptr<StateFile> make_state_file(const Exec& ex, const Deck& deck, const Mesh& mesh,
                                           const FlatLayout& layout) {
  check_offload(deck, ex.device.stands_for());
  check_compression(deck, ex.device.stands_for());
  if (deck.zero.offload.home != OffloadConfig::Home::files) return nullptr;
  std::vector<DType> types(state_arrays(deck.optimizer).size(), deck.types.moments);
  if (deck.types.master != deck.types.compute) types.insert(types.begin(), deck.types.master);
  if (types.empty()) return nullptr;
  const auto make = [&] {
    return std::make_unique<StateFile>(ex, layout, deck.zero.offload, types,
                                       mesh.world->rank());
  };
  return ex.device.kind() == DeviceKind::dry ? make() : collectively(*mesh.world, make);
}

}  // namespace

std::vector<std::unique_ptr<ModelPart>> build_parts(const Exec& ex, const Deck& deck,
                                                    const Mesh& mesh) {
  const auto bounds = stage_bounds(deck);
  std::vector<std::unique_ptr<ModelPart>> parts;
  for (int c = 0; c < deck.virtual_pipeline_chunks; ++c) {
    const auto i = static_cast<std::size_t>(model_part(mesh.at.pp, c, mesh.shape.pp));
    parts.push_back(
        std::make_unique<ModelPart>(ex, deck.types.compute, deck.model,
                                    TensorParallel{mesh.tp.get(), deck.sequence_parallel},
                                    bounds[i], bounds[i + 1], deck.recompute));
  }
  return parts;
}

Trainer::Trainer(const Exec& ex, const Deck& deck, const Mesh& mesh, PhaseClock& clock)
    : Trainer(ex, deck, mesh, clock, build_parts(ex, deck, mesh)) {}

Trainer::Trainer(const Exec& ex, const Deck& deck, const Mesh& mesh, PhaseClock& clock,
                 std::vector<std::unique_ptr<ModelPart>> parts)
    : ex_(ex),
      deck_(deck),
      mesh_(mesh),
      clock_(clock),
      tp_{mesh.tp.get(), deck.sequence_parallel},
      layout_(deck, mesh),
      uploads_(ex),
      parts_(std::move(parts)),
      flat_(parts_, mesh.shape.dp,
            std::min(deck.zero.reduce_bucket_size, deck.zero.allgather_bucket_size),
            deck.zero.stage3_param_persistence_threshold,
            deck.optimizer.eight_bit ? eight_bit::kBlock : FlatLayout::kAlign),
      state_file_(make_state_file(ex, deck, mesh, flat_)),
      values_(ex, flat_, mesh, deck.zero, deck.types, state_file_.get()),
      gradients_(ex, flat_, mesh, deck.zero, deck.types),
      zero_(values_, gradients_, clock),
      optimizer_(ex, deck.optimizer, deck.zero, deck.types, flat_, mesh, values_, gradients_,
                 state_file_.get()),
      executor_(ex, mesh, tp_, deck.pipeline_schedule, deck.types.compute, parts_, clock),
      rule_(step_rule(deck.optimizer, deck.loss_scale)),
      decided_(first_step_state(deck.loss_scale)),
      state_(ex.make(DType::f64, Shape{StepState::kSlots})),
      history_(rule_.history() > 0 ? ex.zeros(DType::f64, Shape{rule_.history()}) : Tensor()),
      noise_scale_(deck.noise_scale.n_batches),
      overflow_(std::make_unique<OverflowWatch>(ex, mesh.at.pp, mesh.shape.pp)),
      outcomes_(static_cast<Outcome*>(ex.device.allocate_host(kMostQueued * sizeof(Outcome)))) {
  if (deck.cuda_graphs && ex.device.stands_for() == DeviceKind::cuda) {
    check_graphs(deck, mesh.shape);
    executor_.use_graphs(mesh.shape.dp > 1);
  }
  rule_.targets = static_cast<double>(deck.train_batch_size * deck.model.sample().targets);
  const auto failure = failure_of([&] { values_.initialize(deck.model, deck.seed); });
  if (ex.device.kind() != DeviceKind::dry) mesh.world->agree(failure);
  if (deck.ema.enabled) {
    average_ =
        std::make_unique<WeightAverage>(ex, deck.ema.decay, deck.zero, flat_, mesh, values_);
  }
  if (deck.noise_scale.enabled) {
    if (deck.noise_scale.cpu_offload && ex.device.stands_for() == DeviceKind::cuda) {
      Error error("gradient_noise_scale_cpu_offload: true is not available on GPUs");
      throw error.set_everywhere();
    }
    window_gradient_ = std::make_unique<WindowGradient>(ex, deck.noise_scale.n_batches, flat_,
                                                        mesh, gradients_);
  }
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

std::int64_t Trainer::updates_before(std::int64_t iteration) const {
  if (ex_.device.kind() == DeviceKind::dry) return iteration - 1;
  if (ex_.device.kind() != DeviceKind::cpu) return optimizer_steps();
  return static_cast<std::int64_t>(static_cast<const StepState*>(state_.view().raw())->updates);
}

void Trainer::queue_gradients(const std::vector<MicroBatch>& micro_batches) {
  const View state = state_;
  {
    const auto scope = clock_.scope(Phase::optimizer);
    gradients_.begin(static_cast<int>(micro_batches.size()), optimizer_.own_gradients());
    overflow_->reset();
    ex_.device.zero(state.raw(), StepState::kSums * sizeof(double), ex_.stream);
  }
  UnitObservers observers{&zero_};
  if (deck_.loss_scale.enabled) observers.push_back(overflow_.get());
  observers.insert(observers.end(), more_observers_.begin(), more_observers_.end());
  executor_.train(micro_batches, observers);
  const auto scope = clock_.scope(Phase::reduce);
  gradients_.wait_for_sums();
  const View sums = View(state.raw(), DType::f64, Shape{StepState::kSums});
  optimizer_.add_squares(View(sums.raw(), DType::f64, Shape{1}));
  if (mesh_.at.tp == 0) {  // loss, auxiliary, counted: the order is that of StepState
    const View losses = micro_batches.front().loss_sum;
    ex_.device.copy(sums.data<double>() + 1, losses.raw(), losses.bytes(), ex_.stream);
  }
  if (executor_.gave_up()) {
    ex_.device.copy_from_host(sums.data<double>() + StepState::kGivenUpSlot, &kOne, sizeof kOne,
                              ex_.stream);
  }
  mesh_.everyone().all_reduce(sums, Reduction::sum);
}

void Trainer::prepare_length(std::int64_t seq) {
  if (seq == length_) return;
  if (length_ != 0) {
    ex_.stream.synchronize();
    ex_.device.trim();
    for (const auto& part : parts_) part->trim_host();
  }
  length_ = seq;
}

void Trainer::use_betas(std::int64_t iteration, StepRule& rule) {
  const auto betas = betas_at(deck_.schedule, iteration);
  if (!betas) return;
  OptimizerConfig now = deck_.optimizer;
  now.beta1 = (*betas)[0];
  now.beta2 = (*betas)[1];
  optimizer_.set_betas(now.beta1, now.beta2);
  const StepRule corrections = step_rule(now, deck_.loss_scale);
  rule.beta1 = corrections.beta1;
  rule.beta2 = corrections.beta2;
}

void Trainer::step(std::int64_t iteration, std::uint64_t first,
                   std::vector<std::int32_t> tokens) {
  TRM_CHECK(queued_.size() < kMostQueued && !halted_, "{} steps were not collected",
            queued_.size());
  const StepShape shape = layout_.training_shape(iteration, first);
  prepare_length(shape.seq);
  auto micro_batches = layout_.micro_batches(ex_, uploads_, first, tokens, shape);
  for (MicroBatch& mb : micro_batches) {
    mb.loss_scale = View(state_.data<double>() + StepState::kScaleSlot, DType::f64, Shape{1});
  }
  Queued queued;
  StepResult& result = queued.result;
  const DpTraffic before = dp_traffic();
  optimizer_.begin(updates_before(iteration));
  queue_gradients(micro_batches);
  result.iteration = iteration;
  result.samples = layout_.samples_from(first);
  result.consumed = static_cast<std::int64_t>(first) + result.samples;
  result.seq = shape.seq;
  result.layer_keep = shape.layer_keep;
  result.lr = rate_of_step(deck_, iteration, result.consumed);
  const auto scope = clock_.scope(Phase::optimizer);
  StepRule rule = rule_;
  rule.targets = static_cast<double>(result.samples * layout_.targets_of(result.seq));
  use_betas(iteration, rule);
  if (optimizer_.own_gradients()) rule.clip = 0;  // each rank's own gradient is clipped
  if (window_gradient_) window_gradient_->add(iteration, rule, state_);
  ops::decide_step(ex_, {.rule = rule,
                         .state = state_,
                         .history = history_.defined() ? history_.view() : View()});
  optimizer_.step(result.lr, state_);
  if (state_file_) {
    const OffloadTraffic moved = state_file_->traffic();
    result.offload = moved - std::exchange(moved_, moved);
  }
  if (average_ && iteration % deck_.ema.every_n_steps == 0) average_->update(state_);
  Outcome& outcome = outcomes_[next_outcome_];
  ex_.device.copy_to_host(&outcome.state, state_.view().raw(), sizeof outcome.state,
                          ex_.stream);
  overflow_->copy_code(&outcome.overflow);
  if (window_gradient_) {
    ex_.device.copy_to_host(&outcome.window_square, window_gradient_->squares().raw(),
                            sizeof outcome.window_square, ex_.stream);
  }
  next_outcome_ = (next_outcome_ + 1) % kMostQueued;
  result.reduced = dp_traffic().reduced - before.reduced;
  result.gathered = dp_traffic().gathered - before.gathered;
  result.nearby = dp_traffic().nearby - before.nearby;
  result.quantized = dp_traffic().quantized - before.quantized;
  result.compressed = optimizer_.traffic();
  result.parameters = flat_.count();
  queued.first = first;
  queued.shape = shape;
  queued.tokens = std::move(tokens);
  queued_.push_back(std::move(queued));
}

void Trainer::estimate_noise(StepResult& result, const StepState& state, double window_square) {
  const auto estimate = noise_scale_.add({.iteration = result.iteration,
                                          .samples = result.samples,
                                          .sound = std::isfinite(state.norm),
                                          .square = state.norm * state.norm,
                                          .window_square = window_square});
  result.noise_scale = estimate.value_or(0);
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
    const auto targets = static_cast<double>(result.samples * layout_.targets_of(result.seq));
    const double weight = 1.0 / (outcome.state.counted > 0 ? outcome.state.counted : targets);
    result.loss = outcome.state.loss * weight;
    result.auxiliary_loss = outcome.state.auxiliary * weight;
    result.gradient_norm = outcome.state.norm;
    result.loss_scale = decided_.scale;
    result.next_loss_scale = outcome.state.scale;
    result.skipped = outcome.state.updated == 0;
    result.outlier = result.skipped && std::isfinite(result.gradient_norm + result.loss);
    decided_ = outcome.state;
    if (gave_up()) {  // no later step was queued: all ranks stop
      queued_.clear();
      break;
    }
    if (window_gradient_) estimate_noise(result, outcome.state, outcome.window_square);
    const bool overflowed = result.skipped && !result.outlier;
    if (overflowed) ++skipped_;
    if (overflowed && rule_.skips) {
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

void Trainer::require_updates() const {
  if (deck_.loss_scale.fixed <= 0 || skipped_ == 0 || decided_.updates > first_updates_) return;
  Error error(fmt::format(
      "gradients overflowed in every step: fp16.loss_scale {} is too large, and nothing was "
      "trained. Lower it, or set fp16: {{loss_scale: 0}} for a scale that adapts",
      decided_.scale));
  throw error.set_everywhere();
}

}  // namespace trireme
