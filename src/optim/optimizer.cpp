// SPDX-License-Identifier: Apache-2.0
// The gradient norm and updates.
#include "trireme/optim/optimizer.hpp"

#include <algorithm>
#include <limits>

#include "trireme/ops/elementwise.hpp"

#include "tensor_update.hpp"

namespace trireme {

Optimizer::~Optimizer() = default;

Optimizer::Rule Optimizer::rule_of(const Parameter& p, const LrGroups& groups) const {
  const double decay = p.decay ? config_.weight_decay : 0;
  const std::size_t i = groups.find(p.name);
  if (i == LrGroups::kNone) return {1, decay};
  const LrGroup& own = config_.lr_groups[i];
  return {own.lr_scale, own.weight_decay.value_or(decay)};
}

std::vector<FlatArray> Optimizer::make_state(const Exec& ex, DType type, const FlatGroup& group,
                                             bool whole, int ranks) const {
  std::vector<FlatArray> state;
  const std::size_t count = row_.state_arrays(config_).size();
  for (std::size_t n = 0; n < count; ++n) {
    const bool used = row_.has_array == nullptr ||
                      std::ranges::any_of(group.parameters, [&](const Parameter* p) {
                        return row_.has_array(*p, n);
                      });
    state.push_back(used ? FlatArray::zeros(ex, type, group, whole, ranks) : FlatArray{});
  }
  return state;
}

// Merged slices make fewer and longer loops. Gaps between neighbours hold zeros, and an update
// keeps the zeros.
std::vector<Optimizer::RuledSlice> Optimizer::ruled(const std::vector<FlatSlice>& slices,
                                                    const LrGroups& groups) const {
  constexpr std::int64_t kLargestGap = 15;
  std::vector<RuledSlice> merged;
  for (const FlatSlice& s : slices) {
    const Rule rule = rule_of(*s.parameter, groups);
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
    g.state = make_state(ex, types.moments, layout.groups()[i], whole, layout.ranks());
  }
  if (row_.whole == nullptr) return;
  TensorUpdateParts parts{.ex = ex,
                          .config = config_,
                          .types = types,
                          .layout = layout,
                          .mesh = mesh,
                          .values = values,
                          .gradients = gradients,
                          .whole = whole};
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (!layout.groups()[i].trains) continue;
    for (Parameter* p : layout.groups()[i].parameters) {
      parts.tensors.push_back(make_tensor(layout, mesh, i, *p, whole, rule_of(*p, lr_groups)));
    }
  }
  parts.state = [this](std::size_t group, std::size_t array, const FlatSlice& slice) {
    return groups_[group].state[array].part(slice);
  };
  whole_ = row_.whole(parts);
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
  if (whole_) whole_->step(lr, state);
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (whole_) {
      values_.start_sharing(i);
      continue;
    }
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
  visit_factors(
      [&](const char*, const Parameter&, int, const View& data) { n += data.bytes(); });
  return n;
}

void Optimizer::visit_state(
    const std::function<void(const char* kind, std::size_t group, const FlatArray&)>& f) const {
  const auto names = row_.state_arrays(config_);
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    for (std::size_t n = 0; n < groups_[i].state.size(); ++n) {
      if (groups_[i].state[n].data.defined()) f(names[n], i, groups_[i].state[n]);
    }
  }
}

bool Optimizer::has_state(const char* kind, const Parameter& parameter) const {
  if (row_.has_array == nullptr) return true;
  const auto names = row_.state_arrays(config_);
  for (std::size_t n = 0; n < names.size(); ++n) {
    if (std::string_view(names[n]) == kind) return row_.has_array(parameter, n);
  }
  return true;
}

void Optimizer::visit_factors(const std::function<void(const char* kind, const Parameter&,
                                                       int axis, const View& data)>& f) const {
  if (whole_) whole_->visit_factors(f);
}

}  // namespace trireme
