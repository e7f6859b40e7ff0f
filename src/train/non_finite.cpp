// SPDX-License-Identifier: Apache-2.0
// Finds the first tensor with inf or NaN of a step that halted the run.
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "trireme/comm/collectively.hpp"
#include "trireme/deck/stage_bounds.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/train/trainer.hpp"

#include "overflow.hpp"

namespace trireme {

namespace {

/// Looks at every unit's output and at the sums of losses.
class ActivationSearch final : public UnitObserver {
 public:
  /// `order`: numbers of units in the model, by name.
  ActivationSearch(const Exec& ex, std::map<std::string, int> order, const Tensor& loss_sum)
      : ex_(ex), order_(std::move(order)), loss_sum_(loss_sum) {}

  void observe(const UnitUse& /*use*/, Module& unit, const Tensor& y) override {
    const auto [tokens, auxiliary] = losses();
    const char* what = nullptr;
    // The sum stays as it is for all that follows.
    if (!std::isfinite(auxiliary) && !std::exchange(auxiliary_is_bad_, true)) {
      what = "the auxiliary loss of";
    }
    if (!y.defined()) {
      if (!std::isfinite(tokens)) what = "the loss of";
    } else if (ops::first_non_finite(ex_, y.view().reshape(Shape{y.count()})) >= 0) {
      what = "the output of";
    }
    if (what == nullptr) return;
    const auto text = fmt::format("{:06} {} {}", order_.at(unit.name()), what, unit.name());
    if (found_.empty() || text < found_) found_ = text;
  }
  /// Number and text of the first unit whose output is not finite; empty if all are finite.
  [[nodiscard]] const std::string& found() const { return found_; }

 private:
  [[nodiscard]] std::array<double, 2> losses() const {
    std::array<double, 2> sums{};
    ex_.device.copy_to_host(sums.data(), loss_sum_.view().raw(), sizeof sums, ex_.stream);
    ex_.stream.synchronize();
    return sums;
  }

  const Exec& ex_;
  std::map<std::string, int> order_;
  const Tensor& loss_sum_;
  bool auxiliary_is_bad_ = false;
  std::string found_;
};

}  // namespace

void Trainer::report() {
  if (!halted_) return;
  const StepResult& result = halted_->result;
  if (rule_.skips && std::isfinite(result.loss + result.auxiliary_loss)) {
    const bool many = decided_.skips >= static_cast<double>(rule_.most_skips);
    Error error(fmt::format("iteration {}: {} (first: {})", result.iteration,
                            many ? many_skips_text(rule_, result.loss_scale)
                                 : lowest_scale_text(rule_, result.loss_scale),
                            result.overflow));
    throw error.set_everywhere();
  }
  const std::string culprit = first_bad_tensor();
  Error error(fmt::format(
      "the {} is not finite at iteration {}; the first tensor with inf or NaN is {}. A lower "
      "lr, a longer warmup or a smaller gradient_clipping may help{}",
      std::isfinite(result.loss + result.auxiliary_loss) ? "gradient" : "loss",
      result.iteration,
      culprit.empty() ? "none of parameters, activations and gradients" : culprit,
      deck_.save.empty() ? "" : "; what was saved before is intact"));
  throw error.set_everywhere();
}

std::string Trainer::first_bad_state(bool with_optimizer) const {
  // The device looks at all arrays while the host waits once. The place matters only if one is
  // bad.
  overflow_->reset();
  collectively(*mesh_.world, [&] {
    visit_arrays(with_optimizer,
                 [&](const std::string& /*kind*/, std::size_t group, const FlatArray& array) {
                   for (const FlatSlice& s : flat_.slices(group, mesh_.at.dp)) {
                     array.read(ex_, s, [&](const View& part, std::int64_t /*first*/) {
                       overflow_->note(part);
                     });
                   }
                 });
  });
  std::int64_t& code = outcomes_[next_outcome_].overflow;  // pinned, and unused between steps
  overflow_->copy_code(&code);
  ex_.stream.synchronize();
  std::string found;
  if (!OverflowWatch::found(code)) return least(found);
  visit_arrays(with_optimizer,
               [&](const std::string& kind, std::size_t group, const FlatArray& array) {
                 for (const FlatSlice& s : flat_.slices(group, mesh_.at.dp)) {
                   if (!found.empty()) return;
                   array.read(ex_, s, [&](const View& part, std::int64_t first) {
                     const std::int64_t bad = ops::first_non_finite(ex_, part);
                     if (bad < 0 || !found.empty()) return;
                     found = fmt::format("{} {}{}, element {}", kind == "model/" ? 0 : 1, kind,
                                         s.parameter->name, s.first + first + bad);
                   });
                 }
               });
  return least(found);
}

/// Names the first bad tensor of the halted step. Parameters are as before this step.
std::string Trainer::first_bad_tensor() {
  std::string culprit = first_bad_parameter(false);
  if (!culprit.empty()) return culprit;
  const auto batches = [&](bool training) {
    StepShape shape = halted_->shape;
    shape.training = training;
    return layout_.micro_batches(ex_, uploads_, halted_->first, halted_->tokens, shape);
  };
  culprit = first_bad_activation(batches(false));
  if (!culprit.empty()) return culprit;
  if (!halted_is_last_) {  // later steps have overwritten the gradients
    queue_gradients(batches(true));
    gradients_.gather();
  }
  return first_bad_parameter(true);
}

std::string Trainer::first_bad_parameter(bool gradients) const {
  std::map<const Parameter*, std::string> order;  // backward begins at the model's end
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
    if (gradients && !flat_.groups()[i].trains) continue;
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

std::string Trainer::first_bad_activation(const std::vector<MicroBatch>& micro_batches) {
  std::map<std::string, int> order;  // numbers of units in the model
  for (std::size_t c = 0; c < parts_.size(); ++c) {
    const int part = model_part(mesh_.at.pp, static_cast<int>(c), mesh_.shape.pp);
    int at = stage_bounds(deck_)[static_cast<std::size_t>(part)];
    for (const auto& unit : parts_[c]->units()) order[unit->name()] = at++;
  }
  const View sums = micro_batches.front().loss_sum;
  ex_.device.zero(sums.raw(), sums.bytes(), ex_.stream);
  ActivationSearch search(ex_, order, micro_batches.front().loss_sum);
  executor_.evaluate(micro_batches, {&zero_, &search});
  return least(search.found());
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
