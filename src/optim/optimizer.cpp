// SPDX-License-Identifier: Apache-2.0
// The gradient norm and updates.
#include "trireme/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "trireme/core/round_up.hpp"
#include "trireme/ops/eight_bit.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/step_state.hpp"
#include "trireme/optim/width_rate.hpp"

#include "eight_bit_state.hpp"
#include "tensor_update.hpp"

namespace trireme {

Optimizer::~Optimizer() = default;

Optimizer::Rule Optimizer::rule_of(const Parameter& p, const LrGroups& groups) const {
  const double decay = p.decay ? config_.weight_decay : 0;
  const bool coded = config_.eight_bit && p.global_shape.count() >= config_.min_8bit_size;
  const std::size_t i = groups.find(p.name);
  const double rate = width_rate(config_.kind, p.width);
  if (i == LrGroups::kNone) return {rate, decay / rate, coded};
  const LrGroup& own = config_.lr_groups[i];
  return {own.lr_scale * rate, own.weight_decay.value_or(decay) / rate, coded};
}

std::vector<FlatArray> Optimizer::make_state(DType type, std::size_t number,
                                             const FlatLayout& layout,
                                             const ParameterValues& values) const {
  const FlatGroup& group = layout.groups()[number];
  const bool whole = groups_[number].whole;
  const std::size_t masters = values.has_masters(number) ? 1 : 0;
  std::vector<FlatArray> state;
  const std::size_t count = row_.state_arrays(config_).size();
  for (std::size_t n = 0; n < count; ++n) {
    const bool used = row_.has_array == nullptr ||
                      std::ranges::any_of(group.parameters, [&](const Parameter* p) {
                        return row_.has_array(*p, n);
                      });
    if (file_ != nullptr) {
      state.push_back({{}, whole, file_->array(masters + n, number)});
    } else {
      state.push_back(used ? FlatArray::zeros(ex_, type, group, whole, layout.ranks())
                           : FlatArray{});
    }
  }
  return state;
}

std::vector<FlatArray> Optimizer::make_eight_bit_state(Group& group) const {
  std::vector<EightBitState::Run> runs;
  for (const RuledSlice& r : group.updated) runs.push_back({r.slice, r.rule.coded});
  group.eight_bit = std::make_shared<EightBitState>(ex_, runs, group.whole);
  return {{{}, group.whole, group.eight_bit->moment(0)},
          {{}, group.whole, group.eight_bit->moment(1)}};
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
                     ParameterValues& values, GradientReducer& gradients, StateFile* file)
    : ex_(ex),
      config_(config),
      row_(optimizer_row(config.kind)),
      sub_group_size_(
          zero.sub_group_size > 0
              ? round_up(zero.sub_group_size, config.eight_bit ? eight_bit::kBlock : 1)
              : std::numeric_limits<std::int64_t>::max()),
      layout_(layout),
      mesh_(mesh),
      values_(values),
      gradients_(gradients),
      file_(file) {
  const bool whole = layout.ranks() == 1 || zero.stage == 0;
  const LrGroups lr_groups(config.lr_groups);
  for (std::size_t i = 0; i < layout.groups().size(); ++i) {
    Group& g = groups_.emplace_back();
    if (!layout.groups()[i].trains) continue;
    g.own = layout.slices(i, mesh.at.dp);
    g.updated = ruled(whole ? layout.whole_slices(i) : g.own, lr_groups);
    g.whole = whole;
    g.state = config.eight_bit ? make_eight_bit_state(g)
                               : make_state(types.moments, i, layout, values);
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
  if (!row_.compresses) return;
  own_squares_ = ex.zeros(DType::f64, Shape{mesh.shape.dp});
  own_decision_ = ex.zeros(DType::f64, Shape{StepState::kSlots});
}

void Optimizer::begin(std::int64_t updates) {
  own_gradients_ = whole_ && whole_->begin(updates);
}

void Optimizer::add_squares(const View& total) const {
  View mine = total;
  if (own_gradients_) {
    const View all = own_squares_;
    ex_.device.zero(all.raw(), all.bytes(), ex_.stream);
    mine = flat_window(all, mesh_.at.dp, 1);
  }
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (!layout_.groups()[i].trains) continue;
    for (const FlatSlice& s : own_gradients_ ? layout_.whole_slices(i) : groups_[i].own) {
      const Parameter& p = *s.parameter;
      const bool counted_elsewhere = p.role == ParameterRole::tied_copy ||
                                     (!p.sharded_over.has(Axis::tp) && mesh_.at.tp > 0);
      if (counted_elsewhere) continue;
      ops::accumulate_squares(ex_, gradients_.sums(i).part(s), mine);
    }
  }
  if (!own_gradients_) return;
  mesh_.everyone().all_reduce(own_squares_, Reduction::sum);
  // A rank's gradient is dp times its addend. All ranks of the same dp know Σ g², and one adds.
  if (ex_.device.kind() != DeviceKind::cpu || mesh_.at.tp > 0 || mesh_.at.pp > 0) return;
  *total.data<double>() += mesh_.shape.dp * *mine.data<double>();
}

ConstView Optimizer::own_decision(const ConstView& state) const {
  const View mine = own_decision_;
  ex_.device.copy(mine.raw(), state.raw(), mine.bytes(), ex_.stream);
  if (ex_.device.kind() != DeviceKind::cpu) return mine;
  auto& s = *static_cast<StepState*>(mine.raw());
  s.factor *= mesh_.shape.dp;
  const double square = own_squares_.view().data<double>()[mesh_.at.dp];
  const double norm = std::sqrt(square) * s.factor + 1e-6;  // decide() adds this, too
  const double most = config_.gradient_clipping;
  if (most > 0 && most < norm) s.factor *= most / norm;
  return mine;
}

void Optimizer::set_betas(double beta1, double beta2) {
  config_.beta1 = beta1;
  config_.beta2 = beta2;
}

void Optimizer::step(double lr, const ConstView& state) {
  gradients_.gather();
  if (whole_) whole_->step(lr, own_gradients_ ? own_decision(state) : state);
  const bool skips = file_ != nullptr && ex_.device.kind() == DeviceKind::cpu &&
                     static_cast<const StepState*>(state.raw())->updated == 0;
  std::optional<Error> failure;
  std::size_t tile = 0;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (file_ == nullptr && !whole_) {
      update_in_memory(i, lr, state);
    } else if (file_ != nullptr && !skips && !failure) {
      failure = failure_of([&] { tile = update_in_file(i, tile, lr, state); });
    }
    values_.start_sharing(i);  // after a failure too, since other ranks take part
  }
  if (file_ != nullptr && ex_.device.kind() != DeviceKind::dry) mesh_.world->agree(failure);
}

void Optimizer::update_in_memory(std::size_t group, double lr, const ConstView& state) {
  for (RuledSlice ruled : groups_[group].updated) {
    FlatSlice& s = ruled.slice;
    for (std::int64_t left = s.count; left > 0; left -= s.count) {
      s.count = std::min(left, sub_group_size_);
      std::vector<View> kept;
      if (values_.has_masters(group)) kept.push_back(values_.masters(group).part(s));
      if (groups_[group].eight_bit) {
        std::ranges::copy(groups_[group].eight_bit->views(s), std::back_inserter(kept));
      } else {
        for (const FlatArray& a : groups_[group].state) kept.push_back(a.part(s));
      }
      update(group, ruled, lr, state, std::move(kept));
      s.in_group += s.count;
      s.in_own += s.count;
    }
  }
}

std::size_t Optimizer::update_in_file(std::size_t group, std::size_t tile, double lr,
                                      const ConstView& state) {
  const Group& g = groups_[group];
  for (; tile < file_->tiles().size() && file_->tiles()[tile].group == group; ++tile) {
    const StateFile::Tile& t = file_->tiles()[tile];
    const std::vector<View> arrays = file_->open(tile);
    for (const RuledSlice& all : g.updated) {
      const std::int64_t begin = g.whole ? all.slice.in_group : all.slice.in_own;
      const std::int64_t end = std::min(begin + all.slice.count, t.first + t.count);
      for (std::int64_t at = std::max(begin, t.first); at < end;) {
        RuledSlice ruled = all;
        ruled.slice.count = std::min(end - at, sub_group_size_);
        ruled.slice.in_group += at - begin;
        ruled.slice.in_own += at - begin;
        std::vector<View> kept;
        for (const View& a : arrays) {
          kept.push_back(flat_window(a, at - t.first, ruled.slice.count));
        }
        update(group, ruled, lr, state, std::move(kept));
        at += ruled.slice.count;
      }
    }
    file_->close(tile);
  }
  return tile;
}

void Optimizer::update(std::size_t group, const RuledSlice& ruled, double lr,
                       const ConstView& state, std::vector<View> kept) {
  const bool has_masters = values_.has_masters(group);
  const View values = values_.values(group).part(ruled.slice);
  const View masters = has_masters ? kept.front() : values;
  if (has_masters) kept.erase(kept.begin());
  row_.update(ex_, config_, lr * ruled.rule.lr_scale, ruled.rule.weight_decay,
              {.gradient = gradients_.sums(group).part(ruled.slice),
               .value = masters,
               .state = std::move(kept),
               .copy = has_masters ? values : View(),
               .decision = state});
}

std::size_t Optimizer::state_bytes() const {
  std::size_t n = 0;
  for (const Group& g : groups_) {
    for (const FlatArray& a : g.state) n += a.bytes();
    if (g.eight_bit) n += g.eight_bit->bytes();
  }
  visit_factors(
      [&](const char*, const Parameter&, int, const View& data) { n += data.bytes(); });
  visit_rows([&](const char*, const Parameter&, const View& own) { n += own.bytes(); });
  visit_server_errors([&](const Parameter&, const View& error) { n += error.bytes(); });
  return n + (whole_ ? whole_->passing_bytes() : 0);
}

void Optimizer::visit_rows(
    const std::function<void(const char* kind, const Parameter&, const View& own)>& f) const {
  if (whole_) whole_->visit_rows(f);
}

void Optimizer::visit_server_errors(
    const std::function<void(const Parameter&, const View& error)>& f) const {
  if (whole_) whole_->visit_server_errors(f);
}

std::int64_t Optimizer::traffic() const { return own_gradients_ ? whole_->traffic() : 0; }

void Optimizer::visit_state(
    const std::function<void(const char* kind, std::size_t group, const FlatArray&)>& f) const {
  const auto names = row_.state_arrays(config_);
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    for (std::size_t n = 0; n < groups_[i].state.size(); ++n) {
      if (groups_[i].state[n].defined()) f(names[n], i, groups_[i].state[n]);
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
