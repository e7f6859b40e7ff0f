// SPDX-License-Identifier: Apache-2.0
// Gathers and their schedule. A gather starts at a point that all ranks of dp pass in one
// order, never because another collective happens to be done.
#include "trireme/optim/values.hpp"

#include <algorithm>
#include <exception>

#include "trireme/core/log.hpp"
#include "trireme/model/init.hpp"
#include "trireme/ops/elementwise.hpp"

#include "quantized_blocks.hpp"

namespace trireme {

namespace {

constexpr std::size_t kUpdatesUnderWay = 4;  // groups

bool contains(const std::vector<std::size_t>& list, std::size_t x) {
  return std::ranges::find(list, x) != list.end();
}

}  // namespace

ParameterValues::ParameterValues(const Exec& ex, const FlatLayout& layout, const Mesh& mesh,
                                 const ZeroConfig& zero, const PrecisionConfig& types,
                                 StateFile* file)
    : ex_(ex),
      layout_(layout),
      dp_(*mesh.dp),
      zero_(zero),
      has_masters_(types.master != types.compute) {
  const int ranks = layout.ranks();
  const auto near = static_cast<int>(zero.hpz_partition_size);
  if (zero.stage == 3 && near > 1 && near < ranks) neighbours_ = dp_.split_neighbours(near);
  for (std::size_t i = 0; i < layout.groups().size(); ++i) {
    const FlatGroup& g = layout.groups()[i];
    Group& mine = groups_.emplace_back();
    const bool whole = ranks == 1 || zero.stage < 3 || g.stays_whole;
    mine.values = FlatArray::zeros(ex, types.compute, g, whole, ranks);
    const bool whole_masters = ranks == 1 || zero.stage == 0;
    if (has_masters(i) && file != nullptr) {
      mine.masters = {{}, whole_masters, file->array(0, i)};
    } else if (has_masters(i)) {
      mine.masters = FlatArray::zeros(ex, types.master, g, whole_masters, ranks);
    }
    if (whole) bind(i, mine.values.data);
    if (!whole && neighbours_) mine.nearby = ex.zeros(types.compute, Shape{g.count / near});
    sharded_groups_ += whole ? 0 : 1;
  }
}

ParameterValues::~ParameterValues() {
  // No wait while this rank alone unwinds from an error: the other ranks would not come.
  if (std::uncaught_exceptions() > 0) return;
  try {
    wait_for_values();
  } catch (const std::exception& e) {
    log::warn("{}", e.what());
  }
}

void ParameterValues::bind(std::size_t group, const Tensor& whole) const {
  const FlatGroup& g = layout_.groups()[group];
  for (std::size_t i = 0; i < g.parameters.size(); ++i) {
    Parameter& p = *g.parameters[i];
    p.value = whole.defined()
                  ? flat_window(whole, g.offsets[i], p.box.count()).reshape(p.box.extent)
                  : View();
  }
}

void ParameterValues::initialize(const ModelConfig& config, std::uint64_t seed) {
  if (ex_.device.kind() == DeviceKind::dry) return;
  // Drawn in host memory, which is freed at the end. A device's pool keeps what it once got.
  std::vector<std::byte> host;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const Group& g = groups_[i];
    const auto own = layout_.slices(i, dp_.rank());
    const auto all = layout_.whole_slices(i);
    for (const Parameter* p : layout_.groups()[i].parameters) {
      const DType type = accumulator_type(g.values.data.dtype());
      host.resize(static_cast<std::size_t>(p->box.count()) * size_of(type));
      View initial(host.data(), type, p->box.extent);
      fill_initial(initial, p->box, p->global_shape, p->name, init_rule(config, *p), seed);
      Tensor moved;
      if (ex_.device.kind() != DeviceKind::cpu) {
        moved = ex_.make(type, p->box.extent);
        ex_.device.copy_from_host(moved.view().raw(), host.data(), host.size(), ex_.stream);
        ex_.stream.synchronize();
        initial = moved;
      }
      const auto take = [&](const FlatArray& to) {
        for (const FlatSlice& s : to.whole ? all : own) {
          if (s.parameter == p) to.put(ex_, flat_window(initial, s.first, s.count), s, 0);
        }
      };
      take(g.values);
      if (has_masters(i)) take(g.masters);
    }
  }
}

void ParameterValues::begin(std::vector<UnitPlace> uses) {
  TRM_CHECK(next_ == uses_.size(), "{} of {} announced uses were not made",
            uses_.size() - next_, uses_.size());
  uses_ = std::move(uses);
  next_ = 0;
}

void ParameterValues::before(const UnitPlace& unit) {
  TRM_CHECK(
      next_ < uses_.size() && uses_[next_].part == unit.part && uses_[next_].unit == unit.unit,
      "unit {} of part {} is used out of turn", unit.unit, unit.part);
  const auto& needed = layout_.groups_of(unit);
  for (const std::size_t g : needed) start(g);
  for (const std::size_t g : ahead(next_)) start(g);
  for (const std::size_t g : needed) {
    wait(g);
    if (is_sharded(g)) bind(g, groups_[g].gathered);
  }
}

void ParameterValues::after(const UnitPlace& unit) {
  const auto kept = ahead(next_);
  ++next_;
  for (const std::size_t g : layout_.groups_of(unit)) {
    if (!is_sharded(g) || contains(kept, g)) continue;
    bind(g, {});
    groups_[g].gathered = {};
  }
}

std::vector<std::size_t> ParameterValues::ahead(std::size_t use) const {
  std::vector<std::size_t> groups;
  if (sharded_groups_ == 0) return groups;
  const auto& now = layout_.groups_of(uses_[use]);
  const auto elements = [&](std::size_t g) { return layout_.groups()[g].count; };
  std::int64_t live = 0;
  for (const std::size_t g : now) live += is_sharded(g) ? elements(g) : 0;
  std::int64_t fetched = 0;
  for (std::size_t u = use + 1; u < uses_.size() && groups.size() < sharded_groups_; ++u) {
    for (const std::size_t g : layout_.groups_of(uses_[u])) {
      if (!is_sharded(g) || contains(groups, g)) continue;
      const bool here = contains(now, g);
      if (here && u == use + 1) {  // used twice in a row: keeping the group is free
        groups.push_back(g);
        continue;
      }
      fetched += elements(g);
      live += here ? 0 : elements(g);
      if (!zero_.overlap_comm || fetched > zero_.stage3_prefetch_bucket_size ||
          live > zero_.stage3_max_live_parameters) {
        return groups;
      }
      groups.push_back(g);
    }
  }
  return groups;
}

void ParameterValues::start(std::size_t group) {
  Group& g = groups_[group];
  if (!is_sharded(group) || g.gathered.defined()) return;
  g.gathered = ex_.make(g.values.data.dtype(), Shape{layout_.groups()[group].count});
  if (g.has_nearby) return start_nearby_gather(group);
  if (zero_.quantized_weights) {
    start_quantized_gather(group);
  } else {
    start_gather(group, g.values, {g.gathered, true});
  }
  g.fills_nearby = g.nearby.defined();
}

View ParameterValues::nearby_share(std::size_t group, const FlatSpan& span) const {
  const std::int64_t near = neighbours_->size();
  return flat_window(groups_[group].nearby, span.offset / near,
                     span.block * layout_.ranks() / near);
}

View ParameterValues::nearby_share_of_whole(std::size_t group, const FlatSpan& span) const {
  const std::int64_t share = span.block * layout_.ranks() / neighbours_->size();
  return flat_window(groups_[group].gathered, span.offset + neighbours_->rank() * share, share);
}

void ParameterValues::start_nearby_gather(std::size_t group) {
  Group& g = groups_[group];
  for (const FlatSpan& span : layout_.groups()[group].spans) {
    const View whole = flat_window(g.gathered, span.offset, span.block * layout_.ranks());
    g.pending.push_back(neighbours_->start_all_gather(nearby_share(group, span), whole));
    gathered_nearby_ += whole.count();
  }
}

void ParameterValues::fill_nearby(std::size_t group) const {
  for (const FlatSpan& span : layout_.groups()[group].spans) {
    ops::copy(ex_, nearby_share_of_whole(group, span), nearby_share(group, span));
  }
}

void ParameterValues::start_gather(std::size_t group, const FlatArray& from,
                                   const FlatArray& whole) {
  const int ranks = layout_.ranks();
  for (const FlatSpan& span : layout_.groups()[group].spans) {
    groups_[group].pending.push_back(dp_.start_all_gather(from.block(span, dp_.rank(), ranks),
                                                          whole.all_blocks(span, ranks)));
    gathered_ += span.block * ranks;
  }
}

// Each rank fills its part of an array of all ranks' bytes, and the gather fills the others.
void ParameterValues::start_quantized_gather(std::size_t group) {
  const int ranks = layout_.ranks();
  Group& g = groups_[group];
  for (const FlatSpan& span : layout_.groups()[group].spans) {
    const std::int64_t bytes = quantized_bytes(span.block);
    const Tensor& all = g.quantized.emplace_back(ex_.make(DType::u8, Shape{bytes * ranks}));
    const View mine = flat_window(all, bytes * dp_.rank(), bytes);
    if (ex_.device.kind() != DeviceKind::dry) {
      const View values = g.values.block(span, dp_.rank(), ranks);
      quantize(values.dtype(), values.raw(), span.block, static_cast<std::byte*>(mine.raw()));
    }
    g.pending.push_back(dp_.start_all_gather(mine, all));
    gathered_quantized_ += bytes * ranks;
  }
}

void ParameterValues::take_quantized(std::size_t group) {
  const int ranks = layout_.ranks();
  Group& g = groups_[group];
  for (std::size_t i = 0; i < g.quantized.size(); ++i) {
    if (ex_.device.kind() == DeviceKind::dry) break;
    const FlatSpan& span = layout_.groups()[group].spans[i];
    const std::int64_t bytes = quantized_bytes(span.block);
    const auto* const from = static_cast<const std::byte*>(g.quantized[i].view().raw());
    for (int rank = 0; rank < ranks; ++rank) {
      const View to = flat_window(g.gathered, span.offset + rank * span.block, span.block);
      dequantize(from + bytes * rank, span.block, to.dtype(), to.raw());
    }
  }
  g.quantized.clear();
}

void ParameterValues::wait(std::size_t group) {
  for (const RequestPtr& r : groups_[group].pending) r->wait();
  groups_[group].pending.clear();
  take_quantized(group);
  std::erase(updating_, group);
  if (!groups_[group].fills_nearby) return;
  fill_nearby(group);
  groups_[group].fills_nearby = false;
  groups_[group].has_nearby = true;
}

const FlatArray& ParameterValues::values(std::size_t group) const {
  return groups_[group].values;
}

const FlatArray& ParameterValues::masters(std::size_t group) const {
  return has_masters(group) ? groups_[group].masters : groups_[group].values;
}

void ParameterValues::start_sharing(std::size_t group) {
  const FlatArray& v = groups_[group].values;
  if (layout_.groups()[group].trains) groups_[group].has_nearby = false;
  if (layout_.ranks() == 1 || zero_.stage == 0 || !v.whole) return;
  if (!layout_.groups()[group].trains) return;
  while (updating_.size() >= kUpdatesUnderWay) wait(updating_.front());
  start_gather(group, v, v);
  updating_.push_back(group);
  if (!zero_.overlap_comm) wait(group);
}

void ParameterValues::wait_for_values() {
  while (!updating_.empty()) wait(updating_.front());
}

void ParameterValues::take_masters() {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    groups_[i].has_nearby = false;
    if (!has_masters(i)) continue;
    for (const FlatSlice& s : layout_.slices(i, dp_.rank())) {
      groups_[i].masters.read(ex_, s, [&](const View& part, std::int64_t first) {
        groups_[i].values.put(ex_, part, s, first);
      });
    }
  }
}

void gather_blocks(Communicator& dp, const FlatLayout& layout, std::size_t group,
                   const FlatArray& array) {
  const int ranks = layout.ranks();
  if (ranks == 1 || !array.whole || array.stored) return;
  for (const FlatSpan& span : layout.groups()[group].spans) {
    dp.start_all_gather(array.block(span, dp.rank(), ranks), array.all_blocks(span, ranks))
        ->wait();
  }
}

std::size_t ParameterValues::value_bytes() const {
  std::size_t n = 0;
  for (const Group& g : groups_) {
    n += g.values.bytes() + (g.nearby.defined() ? g.nearby.view().bytes() : 0);
  }
  return n;
}

std::size_t ParameterValues::master_bytes() const {
  std::size_t n = 0;
  for (const Group& g : groups_) n += g.masters.bytes();
  return n;
}

}  // namespace trireme
