// SPDX-License-Identifier: Apache-2.0
// Reductions and their schedule. Memory is freed where all ranks of dp pass in one order, not
// when a collective happens to be done. A run's peak is therefore always equal.
#include "trireme/optim/reducer.hpp"

#include "trireme/ops/elementwise.hpp"

namespace trireme {

namespace {

constexpr std::size_t kUnderWay = 2;  // groups whose addends are still held

}  // namespace

GradientReducer::GradientReducer(const Exec& ex, const FlatLayout& layout, const Mesh& mesh,
                                 const ZeroConfig& zero, const PrecisionConfig& types)
    : ex_(ex), layout_(layout), mesh_(mesh), zero_(zero), types_(types) {
  const int ranks = layout.ranks();
  const bool whole = ranks == 1 || zero.reduce_once_per_step || zero.stage == 0;
  for (const FlatGroup& g : layout.groups()) {
    Group& mine = groups_.emplace_back();
    if (!g.trains) continue;
    mine.trains = true;
    mine.sums = FlatArray::zeros(ex, types.gradient, g, whole, ranks);
    mine.special = summed_over(Axis::tp, g) || summed_over(Axis::ends, g);
  }
}

bool GradientReducer::summed_over(Axis axis, const FlatGroup& group) const {
  const Communicator& ranks = axis == Axis::tp ? *mesh_.tp : *mesh_.ends;
  return ranks.size() > 1 && group.parameters.front()->sum_over.has(axis);
}

void GradientReducer::bind(std::size_t group, const Tensor& whole) const {
  const FlatGroup& g = layout_.groups()[group];
  for (std::size_t i = 0; i < g.parameters.size(); ++i) {
    Parameter& p = *g.parameters[i];
    p.grad = whole.defined()
                 ? flat_window(whole, g.offsets[i], p.box.count()).reshape(p.box.extent)
                 : View();
  }
}

void GradientReducer::begin(int micro_batches, bool own_alone) {
  TRM_CHECK(!own_alone || zero_.stage == 0, "own gradients at stage {}", zero_.stage);
  micro_batches_ = micro_batches;
  own_alone_ = own_alone;
  // With one micro-batch, the addends may lie in the memory of whole sums. The arithmetic is
  // equal, and no other memory is needed.
  const bool full_width = types_.gradient == accumulator_type(types_.compute);
  local_ = own_alone || layout_.ranks() == 1 || zero_.reduce_once_per_step ||
           (zero_.stage == 0 && micro_batches == 1 && full_width);
  direct_ = local_ && full_width;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    Group& g = groups_[i];
    if (!g.trains) continue;
    g.done = 0;
    g.gathered = false;
    bind(i, direct_ ? g.sums.data : Tensor());
    const View all = g.sums.data;
    if (direct_) ex_.device.zero(all.raw(), all.bytes(), ex_.stream);
  }
}

void GradientReducer::before(const UnitPlace& unit) {
  if (direct_) return;
  for (const std::size_t i : layout_.groups_of(unit)) {
    Group& g = groups_[i];
    if (!g.trains || g.addend.defined()) continue;
    g.addend = ex_.zeros(accumulator_type(types_.compute), Shape{layout_.groups()[i].count});
    bind(i, g.addend);
  }
}

void GradientReducer::after_backward(const UnitPlace& unit) {
  for (const std::size_t i : layout_.groups_of(unit)) {
    const UnitPlace& owner = layout_.groups()[i].owner;
    Group& g = groups_[i];
    if (!g.trains || owner.part != unit.part || owner.unit != unit.unit) continue;
    ++g.done;
    // A head adds gradients in forward. If all forwards come before the first backward, the
    // head may have no gradient left to send after the first backward.
    const bool any = direct_ || g.addend.defined();
    if (!direct_) bind(i, {});
    if (!local_) {
      const bool accumulate = g.done > 1;
      if (any) start(i, std::move(g.addend), accumulate);
    } else {
      if (!direct_ && any) add_locally(g);
      const bool complete = g.done == micro_batches_;
      if (layout_.ranks() > 1 && complete && !own_alone_) start(i, g.sums.data, false);
    }
    g.addend = {};
  }
  progress();
}

void GradientReducer::add_locally(Group& group) const {
  if (group.done == 1) {
    ops::cast(ex_, group.addend, group.sums.data);
  } else {
    ops::accumulate(ex_, group.addend, group.sums.data);
  }
}

void GradientReducer::start(std::size_t group, Tensor data, bool accumulate) {
  if (data.dtype() != types_.communication && data.dtype() != DType::f64) {
    const Tensor sent = ex_.make(types_.communication, data.shape());
    ops::cast(ex_, data, sent);
    data = sent;
  }
  while (under_way_.size() >= kUnderWay) complete_oldest();
  const int ranks = layout_.ranks();
  // Memory for what other ranks send. Allocated here, so that a forecast counts these bytes.
  const Tensor room = ex_.make(data.dtype(), Shape{data.count() / ranks * (ranks - 1)});
  UnderWay r{group, std::move(data), room, {}, groups_[group].done == micro_batches_};
  for (const FlatSpan& span : layout_.groups()[group].spans) {
    const View from = flat_window(r.data, span.offset, span.block * ranks);
    r.requests.push_back(mesh_.dp->start_reduce_scatter(
        from, groups_[group].sums.block(span, mesh_.at.dp, ranks), accumulate,
        flat_window(room, span.offset / ranks * (ranks - 1), span.block * (ranks - 1))));
    reduced_ += from.count();
  }
  under_way_.push_back(std::move(r));
  if (!zero_.overlap_comm) complete_oldest();
}

void GradientReducer::complete_oldest() {
  const UnderWay& r = under_way_.front();
  for (const RequestPtr& request : r.requests) request->wait();
  const Group& g = groups_[r.group];
  if (zero_.stage == 0 && r.last && !g.special) start_gather(r.group);
  under_way_.pop_front();
}

void GradientReducer::start_gather(std::size_t group) {
  const FlatArray& sums = groups_[group].sums;
  groups_[group].gathered = true;
  const int ranks = layout_.ranks();
  for (const FlatSpan& span : layout_.groups()[group].spans) {
    gathers_.push_back(mesh_.dp->start_all_gather(sums.block(span, mesh_.at.dp, ranks),
                                                  sums.all_blocks(span, ranks)));
    gathered_ += span.block * ranks;
  }
}

void GradientReducer::progress() {
  if (under_way_.empty()) return;
  for (const RequestPtr& request : under_way_.front().requests) {
    if (!request->test()) return;
  }
}

void GradientReducer::wait_for_sums() {
  while (!under_way_.empty()) complete_oldest();
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    TRM_CHECK(!groups_[i].trains || groups_[i].done == micro_batches_,
              "{} has gradients of {} of {} micro-batches",
              layout_.groups()[i].parameters.front()->name, groups_[i].done, micro_batches_);
  }
  sum_over_tp();
  sum_over_ends();
}

void GradientReducer::gather() {
  if (zero_.stage > 0 || layout_.ranks() == 1 || own_alone_) return;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i].trains && !groups_[i].gathered) start_gather(i);
  }
  for (const RequestPtr& r : gathers_) r->wait();
  gathers_.clear();
}

View GradientReducer::completed(std::size_t group, const FlatSpan& span) const {
  const FlatArray& sums = groups_[group].sums;
  return own_alone_ ? sums.all_blocks(span, layout_.ranks())
                    : sums.block(span, mesh_.at.dp, layout_.ranks());
}

void GradientReducer::sum_over_tp() {
  // Each model part has one such group of many small arrays, sharded alike on all ranks of tp.
  std::vector<std::pair<std::size_t, FlatSpan>> spans;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const FlatGroup& g = layout_.groups()[i];
    if (!groups_[i].trains || !summed_over(Axis::tp, g)) continue;
    for (const FlatSpan& span : g.spans) {
      spans.emplace_back(i, span);
      total += completed(i, span).count();
    }
  }
  if (total == 0) return;
  const Tensor packed = ex_.make(accumulator_type(types_.compute), Shape{total});
  std::int64_t at = 0;
  const auto each = [&](auto&& f) {
    at = 0;
    for (const auto& [i, span] : spans) {
      const View sum = completed(i, span);
      f(sum, flat_window(packed, at, sum.count()));
      at += sum.count();
    }
  };
  each([&](const View& sum, const View& place) { ops::cast(ex_, sum, place); });
  mesh_.tp->all_reduce(packed, Reduction::sum);
  each([&](const View& sum, const View& place) { ops::cast(ex_, place, sum); });
}

void GradientReducer::sum_over_ends() {
  // These run without overlap: only now do both ends have complete gradients.
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const FlatGroup& g = layout_.groups()[i];
    if (!groups_[i].trains || !summed_over(Axis::ends, g)) continue;
    for (const FlatSpan& span : g.spans) {
      mesh_.ends->all_reduce(completed(i, span), Reduction::sum);
    }
  }
}

std::size_t GradientReducer::bytes() const {
  std::size_t n = 0;
  for (const Group& g : groups_) n += g.sums.bytes();
  return n;
}

}  // namespace trireme
