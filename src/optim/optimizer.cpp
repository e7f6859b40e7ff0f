// SPDX-License-Identifier: Apache-2.0
// The gradient norm and updates.
#include "trireme/optim/optimizer.hpp"

#include <algorithm>
#include <limits>

#include "trireme/ops/elementwise.hpp"

namespace trireme {

// Merged slices make fewer and longer loops. Gaps between neighbours hold zeros, and an update
// keeps the zeros.
std::vector<Optimizer::RuledSlice> Optimizer::ruled(const std::vector<FlatSlice>& slices,
                                                    const LrGroups& groups) const {
  constexpr std::int64_t kLargestGap = 15;
  std::vector<RuledSlice> merged;
  for (const FlatSlice& s : slices) {
    Rule rule{1, s.parameter->decay ? config_.weight_decay : 0};
    if (const std::size_t i = groups.find(s.parameter->name); i != LrGroups::kNone) {
      const LrGroup& own = config_.lr_groups[i];
      rule = {own.lr_scale, own.weight_decay.value_or(rule.weight_decay)};
    }
    if (!merged.empty()) {
      FlatSlice& last = merged.back().slice;
      const std::int64_t gap = s.in_group - last.in_group - last.count;
      if (merged.back().rule == rule && gap <= kLargestGap &&
          s.in_own - last.in_own == s.in_group - last.in_group) {
        last.count = s.in_group - last.in_group + s.count;
        continue;
      }
    }
    merged.push_back({s, rule});
  }
  return merged;
}

Optimizer::Optimizer(const Exec& ex, const OptimizerConfig& config, const ZeroConfig& zero,
                     const PrecisionConfig& types, const FlatLayout& layout, const Mesh& mesh,
                     ParameterValues& values, GradientReducer& gradients)
    : ex_(ex),
      config_(config),
      row_(optimizer_row(config.kind)),
      sub_group_size_(zero.sub_group_size > 0 ? zero.sub_group_size
                                              : std::numeric_limits<std::int64_t>::max()),
      mesh_(mesh),
      values_(values),
      gradients_(gradients) {
  const bool whole = layout.ranks() == 1 || zero.stage == 0;
  const LrGroups lr_groups(config.lr_groups);
  for (std::size_t i = 0; i < layout.groups().size(); ++i) {
    Group& g = groups_.emplace_back();
    if (!layout.groups()[i].trains) continue;
    g.own = layout.slices(i, mesh.at.dp);
    g.updated = ruled(whole ? layout.whole_slices(i) : g.own, lr_groups);
    for (std::size_t n = row_.state_arrays(config).size(); n > 0; --n) {
      g.state.push_back(
          FlatArray::zeros(ex, types.moments, layout.groups()[i], whole, layout.ranks()));
    }
  }
}

void Optimizer::add_squares(const View& total) const {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    for (const FlatSlice& s : groups_[i].own) {
      const Parameter& p = *s.parameter;
      const bool counted_elsewhere = p.role == ParameterRole::tied_copy ||
                                     (!p.sharded_over.has(Axis::tp) && mesh_.at.tp > 0);
      if (counted_elsewhere) continue;
      ops::accumulate_squares(ex_, gradients_.sums(i).part(s), total);
    }
  }
}

void Optimizer::step(double lr, const ConstView& state) {
  gradients_.gather();
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    for (RuledSlice ruled : groups_[i].updated) {
      FlatSlice& s = ruled.slice;
      for (std::int64_t left = s.count; left > 0; left -= s.count) {
        s.count = std::min(left, sub_group_size_);
        update(i, ruled, lr, state);
        s.in_group += s.count;
        s.in_own += s.count;
      }
    }
    values_.start_sharing(i);
  }
}

void Optimizer::update(std::size_t group, const RuledSlice& ruled, double lr,
                       const ConstView& state) {
  const FlatSlice& slice = ruled.slice;
  UpdateArrays arrays{
      .gradient = gradients_.sums(group).part(slice),
      .value = values_.masters(group).part(slice),
      .state = {},
      .copy = values_.has_masters(group) ? values_.values(group).part(slice) : View(),
      .decision = state};
  for (const FlatArray& a : groups_[group].state) arrays.state.push_back(a.part(slice));
  row_.update(ex_, config_, lr * ruled.rule.lr_scale, ruled.rule.weight_decay, arrays);
}

std::size_t Optimizer::state_bytes() const {
  std::size_t n = 0;
  for (const Group& g : groups_) {
    for (const FlatArray& a : g.state) n += a.bytes();
  }
  return n;
}

void Optimizer::visit_state(
    const std::function<void(const char* kind, std::size_t group, const FlatArray&)>& f) const {
  const auto names = row_.state_arrays(config_);
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    for (std::size_t n = 0; n < groups_[i].state.size(); ++n) {
      f(names[n], i, groups_[i].state[n]);
    }
  }
}

}  // namespace trireme
