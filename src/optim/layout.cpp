// SPDX-License-Identifier: Apache-2.0
// Groups, spans and slices.
#include "trireme/optim/layout.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "trireme/core/round_up.hpp"
#include "trireme/ops/elementwise.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kMostInRoom = std::int64_t{1} << 20U;   // elements on the way to a file
constexpr std::int64_t kMostInBlock = std::int64_t{1} << 30U;  // a Communicator's limit

/// The kind of a group in a model part: a key that orders the groups.
enum class Kind : std::uint8_t { summed_over_tp, small, vocabulary, unit };

Kind kind_of(const Parameter& p, std::int64_t threshold) {
  if (p.trains && p.sum_over.has(Axis::tp)) return Kind::summed_over_tp;
  if (p.role == ParameterRole::token_embedding || p.role == ParameterRole::tied_copy) {
    return Kind::vocabulary;
  }
  return p.box.count() <= threshold ? Kind::small : Kind::unit;
}

}  // namespace

FlatLayout::FlatLayout(const std::vector<std::unique_ptr<ModelPart>>& parts, int ranks,
                       std::int64_t bucket, std::int64_t threshold, std::int64_t align)
    : ranks_(ranks), align_(align) {
  for (std::size_t i = 0; i < parts.size(); ++i) add_part(i, *parts[i], threshold);
  for (FlatGroup& g : groups_) finish(g, bucket);
}

void FlatLayout::add_part(std::size_t number, ModelPart& part, std::int64_t threshold) {
  using Key = std::tuple<Kind, std::size_t, bool>;  // kind, unit, and whether it trains
  std::map<Key, std::size_t> groups;
  std::map<const Parameter*, std::size_t> known;
  auto& of_units = of_unit_.emplace_back(part.units().size());
  for (std::size_t u = 0; u < part.units().size(); ++u) {
    const auto add = [&](Parameter& p) {
      const Kind kind = kind_of(p, threshold);
      const bool of_part = kind == Kind::summed_over_tp;
      const auto [at, is_new] =
          groups.try_emplace({kind, of_part ? 0 : u, p.trains}, groups_.size());
      if (is_new) {
        FlatGroup& g = groups_.emplace_back();
        g.stays_whole = of_part || p.box.count() <= threshold;
        g.trains = p.trains;
        g.owner = {number, u};
      }
      groups_[at->second].parameters.push_back(&p);
      parameters_.push_back(&p);
      return at->second;
    };
    part.units()[u]->visit([&](Parameter& p) {
      const auto old = known.find(&p);
      const std::size_t g = old != known.end() ? old->second : known[&p] = add(p);
      auto& list = of_units[u];
      if (std::ranges::find(list, g) == list.end()) list.push_back(g);
    });
  }
}

void FlatLayout::finish(FlatGroup& group, std::int64_t bucket) const {
  for (const Parameter* p : group.parameters) {
    group.offsets.push_back(group.count);
    group.count += round_up(p->box.count(), align_);
  }
  const std::int64_t step = align_ * ranks_;
  group.count = round_up(group.count, step);
  const std::int64_t most =
      std::min(std::max(step, bucket / step * step), (kMostInBlock - align_) * ranks_);
  for (std::int64_t at = 0; at < group.count; at += most) {
    group.spans.push_back({at, std::min(most, group.count - at) / ranks_});
  }
}

std::vector<FlatSlice> FlatLayout::slices(std::size_t group, int rank) const {
  const FlatGroup& g = groups_[group];
  std::vector<FlatSlice> slices;
  for (const FlatSpan& span : g.spans) {
    const std::int64_t begin = span.offset + rank * span.block;
    for (std::size_t i = 0; i < g.parameters.size(); ++i) {
      const std::int64_t first = std::max(begin, g.offsets[i]);
      const std::int64_t end =
          std::min(begin + span.block, g.offsets[i] + g.parameters[i]->box.count());
      if (first >= end) continue;
      slices.push_back({g.parameters[i], first - g.offsets[i], end - first, first,
                        span.offset / ranks_ + first - begin});
    }
  }
  return slices;
}

std::vector<FlatSlice> FlatLayout::whole_slices(std::size_t group) const {
  const FlatGroup& g = groups_[group];
  std::vector<FlatSlice> slices;
  for (std::size_t i = 0; i < g.parameters.size(); ++i) {
    slices.push_back(
        {g.parameters[i], 0, g.parameters[i]->box.count(), g.offsets[i], g.offsets[i]});
  }
  return slices;
}

std::int64_t FlatLayout::count() const {
  std::int64_t n = 0;
  for (const FlatGroup& g : groups_) n += g.count;
  return n;
}

FlatArray FlatArray::zeros(const Exec& ex, DType dtype, const FlatGroup& group, bool whole,
                           int ranks) {
  return {ex.zeros(dtype, Shape{whole ? group.count : group.count / ranks}), whole, nullptr};
}

View FlatArray::part(const FlatSlice& slice) const {
  return flat_window(data, place(slice), slice.count);
}

void FlatArray::read(const Exec& ex, const FlatSlice& slice,
                     const std::function<void(const View& part, std::int64_t first)>& f) const {
  if (!stored) return f(part(slice), 0);
  TRM_CHECK(ex.device.kind() == DeviceKind::cpu, "a file is read into host memory");
  // Not the device's memory, whose use is as planned.
  std::vector<std::byte> room;
  for (std::int64_t at = 0; at < slice.count; at += kMostInRoom) {
    const std::int64_t n = std::min(kMostInRoom, slice.count - at);
    room.resize(static_cast<std::size_t>(n) * size_of(stored->dtype()));
    stored->read(place(slice) + at, n, room.data());
    f(View(room.data(), stored->dtype(), Shape{n}), at);
  }
}

void FlatArray::put(const Exec& ex, const View& from, const FlatSlice& slice,
                    std::int64_t first) const {
  if (!stored) return ops::cast(ex, from, flat_window(part(slice), first, from.count()));
  TRM_CHECK(ex.device.kind() == DeviceKind::cpu, "a file is written from host memory");
  std::vector<std::byte> room;
  for (std::int64_t at = 0; at < from.count(); at += kMostInRoom) {
    const std::int64_t n = std::min(kMostInRoom, from.count() - at);
    room.resize(static_cast<std::size_t>(n) * size_of(stored->dtype()));
    ops::cast(ex, flat_window(from, at, n), View(room.data(), stored->dtype(), Shape{n}));
    stored->write(place(slice) + first + at, n, room.data());
  }
}

View FlatArray::block(const FlatSpan& span, int rank, int ranks) const {
  const std::int64_t at = whole ? span.offset + rank * span.block : span.offset / ranks;
  return flat_window(data, at, span.block);
}

View FlatArray::all_blocks(const FlatSpan& span, int ranks) const {
  TRM_CHECK(whole, "an array with one rank's blocks doesn't hold all");
  return flat_window(data, span.offset, span.block * ranks);
}

View flat_window(const View& array, std::int64_t first, std::int64_t count) {
  return array.reshape(Shape{array.count(), 1}).slice_rows(first, count).reshape(Shape{count});
}

}  // namespace trireme
