// SPDX-License-Identifier: Apache-2.0
// The gradient norm and updates.
#include "trireme/optim/optimizer.hpp"

#include <algorithm>
#include <limits>

#include "trireme/ops/elementwise.hpp"

namespace trireme {

namespace {

/// Merges neighbours that an update treats alike, for fewer and longer loops. Gaps between the
/// neighbours hold zeros, and an update keeps the zeros.
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
      row_(optimizer_row(config.kind)),
      sub_group_size_(zero.sub_group_size > 0 ? zero.sub_group_size
                                              : std::numeric_limits<std::int64_t>::max()),
      mesh_(mesh),
      values_(values),
      gradients_(gradients) {
  const bool whole = layout.ranks() == 1 || zero.stage == 0;
  for (std::size_t i = 0; i < layout.groups().size(); ++i) {
    Group& g = groups_.emplace_back();
    g.own = layout.slices(i, mesh.at.dp);
    g.updated = merge(whole ? layout.whole_slices(i) : g.own);
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
  UpdateArrays arrays{
      .gradient = gradients_.sums(group).part(slice),
      .value = values_.masters(group).part(slice),
      .state = {},
      .copy = values_.has_masters() ? values_.values(group).part(slice) : View(),
      .decision = state};
  for (const FlatArray& a : groups_[group].state) arrays.state.push_back(a.part(slice));
  row_.update(ex_, config_, lr, slice.parameter->decay ? config_.weight_decay : 0, arrays);
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
    for (std::size_t n = 0; n < names.size(); ++n) f(names[n], i, groups_[i].state[n]);
  }
}

}  // namespace trireme
