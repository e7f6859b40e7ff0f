// SPDX-License-Identifier: Apache-2.0
// Norm and updates.
#include "trireme/optim/optimizer.hpp"

#include <algorithm>

#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/update.hpp"

namespace trireme {

namespace {

/// Neighbours that are treated alike, gaps between them included, become one: fewer, longer
/// loops. Gaps hold zeros, and an update leaves them zero.
std::vector<FlatSlice> merge(const std::vector<FlatSlice>& slices) {
  constexpr std::int64_t kLargestGap = 15;
  std::vector<FlatSlice> merged;
  for (const FlatSlice& s : slices) {
    if (!merged.empty()) {
      FlatSlice& last = merged.back();
      const std::int64_t gap = s.in_group - last.in_group - last.count;
      if (last.parameter->decay == s.parameter->decay && gap <= kLargestGap &&
          s.in_own - last.in_own == s.in_group - last.in_group) {
        last.count = s.in_group - last.in_group + s.count;
        continue;
      }
    }
    merged.push_back(s);
  }
  return merged;
}

}  // namespace

Optimizer::Optimizer(const Exec& ex, const OptimizerConfig& config, const ZeroConfig& zero,
                     const PrecisionConfig& types, const FlatLayout& layout, const Mesh& mesh,
                     ParameterValues& values, GradientReducer& gradients)
    : ex_(ex),
      config_(config),
      sub_group_size_(zero.sub_group_size),
      mesh_(mesh),
      values_(values),
      gradients_(gradients) {
  const bool whole = layout.ranks() == 1 || zero.stage == 0;
  for (std::size_t i = 0; i < layout.groups().size(); ++i) {
    Group& g = groups_.emplace_back();
    g.own = layout.slices(i, mesh.at.dp);
    g.updated = merge(whole ? layout.whole_slices(i) : g.own);
    const auto make = [&] {
      return FlatArray::zeros(ex, types.moments, layout.groups()[i], whole, layout.ranks());
    };
    if (config.kind == OptimizerKind::adamw || config.momentum != 0) g.first = make();
    if (config.kind == OptimizerKind::adamw) g.second = make();
  }
}

void Optimizer::add_squares(const View& total) const {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    for (const FlatSlice& s : groups_[i].own) {
      const Parameter& p = *s.parameter;
      if (p.tied_copy || (p.replicated_tp && mesh_.at.tp > 0)) continue;
      ops::accumulate_squares(ex_, gradients_.sums(i).part(s), total);
    }
  }
}

void Optimizer::step(double lr, const ConstView& state) {
  gradients_.gather();
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    for (FlatSlice s : groups_[i].updated) {
      for (std::int64_t left = s.count; left > 0; left -= s.count) {
        s.count = std::min(left, sub_group_size_);
        update(i, s, lr, state);
        s.in_group += s.count;
        s.in_own += s.count;
      }
    }
    values_.start_sharing(i);
  }
}

void Optimizer::update(std::size_t group, const FlatSlice& slice, double lr,
                       const ConstView& state) {
  const Group& g = groups_[group];
  const double decay = slice.parameter->decay ? config_.weight_decay : 0;
  const View gradient = gradients_.sums(group).part(slice);
  const View value = values_.masters(group).part(slice);
  const View copy = values_.has_masters() ? values_.values(group).part(slice) : View();
  if (config_.kind == OptimizerKind::adamw) {
    ops::adamw(ex_,
               {.lr = lr,
                .beta1 = config_.beta1,
                .beta2 = config_.beta2,
                .epsilon = config_.epsilon,
                .weight_decay = decay},
               gradient, value, g.first.part(slice), g.second.part(slice), copy, state);
  } else {
    ops::sgd(ex_, {.lr = lr, .momentum = config_.momentum, .weight_decay = decay}, gradient,
             value, g.first.data.defined() ? g.first.part(slice) : View(), copy, state);
  }
}

std::size_t Optimizer::state_bytes() const {
  std::size_t n = 0;
  for (const Group& g : groups_) n += g.first.bytes() + g.second.bytes();
  return n;
}

void Optimizer::visit_state(
    const std::function<void(const char* kind, std::size_t group, const FlatArray&)>& f) const {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const Group& g = groups_[i];
    if (g.first.data.defined()) {
      f(config_.kind == OptimizerKind::adamw ? "exp_avg" : "momentum", i, g.first);
    }
    if (g.second.data.defined()) f("exp_avg_sq", i, g.second);
  }
}

}  // namespace trireme
