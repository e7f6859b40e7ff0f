// SPDX-License-Identifier: Apache-2.0
// A trainer's state as named boxes: what a checkpoint holds.
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/comm/collectively.hpp"
#include "trireme/core/convert.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/train/trainer.hpp"

#include "mean_of_rows.hpp"

namespace trireme {

struct Trainer::Factor {
  const Parameter* parameter;
  Piece piece;
  bool equal_over_tp;
};

namespace {

/// Losses and norms of the last steps.
constexpr const char* kHistory = "optimizer/step_history";

/// A box of `p`'s own array in the global one.
Box in_global(const Parameter& p, Box box) {
  for (int i = 0; i < box.offset.rank(); ++i) box.offset[i] += p.box.offset[i];
  return box;
}

/// The boxes of a slice of `array`. `kind` precedes the parameter's name.
std::vector<Piece> pieces_of(const std::string& kind, const FlatSlice& s,
                             const FlatArray& array) {
  const Parameter& p = *s.parameter;
  std::vector<Piece> pieces;
  std::int64_t at = 0;
  for (const Box& box : boxes_of_range(p.box.extent, s.first, s.count)) {
    Piece& piece = pieces.emplace_back(Piece{kind + p.name, p.global_shape, in_global(p, box),
                                             ConstView(nullptr, array.dtype(), box.extent),
                                             array.stored, array.place(s) + at});
    if (!array.stored) {
      piece.data = flat_window(array.part(s), at, box.count()).reshape(box.extent);
    }
    at += box.count();
  }
  return pieces;
}

}  // namespace

bool Trainer::has_array(const std::string& kind, const Parameter& p) const {
  constexpr std::string_view kOptimizer = "optimizer/";
  if (!kind.starts_with(kOptimizer)) return true;
  const std::size_t name = kOptimizer.size();
  return optimizer_.has_state(kind.substr(name, kind.size() - name - 1).c_str(), p);
}

std::vector<Trainer::Factor> Trainer::factors() const {
  std::vector<Factor> all;
  optimizer_.visit_factors(
      [&](const char* kind, const Parameter& p, int axis, const View& data) {
        const Box box({p.box.offset[axis]}, {p.box.extent[axis]});
        const Shape global{p.global_shape[axis]};
        // Ranks of tp share what a matrix isn't sharded along.
        const bool differs = p.sharded_over.has(Axis::tp) && box.extent != global;
        all.push_back(
            {&p, {fmt::format("optimizer/{}/{}", kind, p.name), global, box, data}, !differs});
      });
  return all;
}

void Trainer::visit_arrays(bool with_optimizer,
                           const std::function<void(const std::string& kind, std::size_t group,
                                                    const FlatArray&)>& f) const {
  for (std::size_t i = 0; i < flat_.groups().size(); ++i) f("model/", i, values_.values(i));
  if (!with_optimizer) return;
  for (std::size_t i = 0; i < flat_.groups().size(); ++i) {
    if (values_.has_masters(i)) f("optimizer/master/", i, values_.masters(i));
  }
  if (average_) {
    for (std::size_t i = 0; i < flat_.groups().size(); ++i) {
      if (flat_.groups()[i].trains) f("optimizer/ema/", i, average_->array(i));
    }
  }
  optimizer_.visit_state([&](const char* kind, std::size_t group, const FlatArray& array) {
    f(fmt::format("optimizer/{}/", kind), group, array);
  });
}

HeldPiece Trainer::whole_piece(const std::string& kind, const FlatSlice& slice,
                               const FlatArray& array) const {
  const Parameter& p = *slice.parameter;
  HeldPiece held{
      {kind + p.name, p.global_shape, p.box, ConstView(nullptr, array.dtype(), p.box.extent),
       array.stored, array.place(slice)},
      mesh_.at.dp,
      mesh_.shape.dp};
  if (!array.stored) held.piece.data = array.part(slice).reshape(p.box.extent);
  if (!p.sharded_over.has(Axis::tp)) {
    held.replica = mesh_.at.dp * mesh_.shape.tp + mesh_.at.tp;
    held.replicas = mesh_.shape.dp * mesh_.shape.tp;
  }
  return held;
}

bool Trainer::stores_part_of(const Parameter& p) const {
  // A checkpoint has the first stage's table, not this copy. All ranks of tp hold equal values
  // of a parameter that isn't sharded, and rank 0 of tp stores them.
  return p.role != ParameterRole::tied_copy &&
         (p.sharded_over.has(Axis::tp) || mesh_.at.tp == 0);
}

std::vector<HeldPiece> Trainer::held(bool with_optimizer) const {
  std::vector<HeldPiece> held;
  visit_arrays(with_optimizer,
               [&](const std::string& kind, std::size_t group, const FlatArray& array) {
                 if (array.whole) {
                   for (const FlatSlice& s : flat_.whole_slices(group)) {
                     if (s.parameter->role == ParameterRole::tied_copy) continue;
                     if (!has_array(kind, *s.parameter)) continue;
                     held.push_back(whole_piece(kind, s, array));
                   }
                   return;
                 }
                 for (const FlatSlice& s : flat_.slices(group, mesh_.at.dp)) {
                   if (!stores_part_of(*s.parameter)) continue;
                   if (!has_array(kind, *s.parameter)) continue;
                   for (Piece& piece : pieces_of(kind, s, array)) {
                     held.push_back({std::move(piece), 0, 1});
                   }
                 }
               });
  if (!with_optimizer) return held;
  for (Factor& f : factors()) {
    if (f.parameter->role == ParameterRole::tied_copy) continue;
    const int tp = f.equal_over_tp ? mesh_.shape.tp : 1;
    held.push_back({std::move(f.piece), mesh_.at.dp * tp + (tp > 1 ? mesh_.at.tp : 0),
                    mesh_.shape.dp * tp});
  }
  for (Piece& row : rows_of(mesh_.at.dp)) held.push_back({std::move(row), 0, 1});
  if (history_.defined() && mesh_.at.pp == 0) {
    const View all = history_;
    held.push_back({{kHistory, all.shape(), Box(Shape{0}, all.shape()), all},
                    mesh_.at.dp * mesh_.shape.tp + mesh_.at.tp,
                    mesh_.shape.dp * mesh_.shape.tp});
  }
  return held;
}

std::vector<std::int64_t> Trainer::own_box_bytes(bool with_optimizer, int dp) const {
  // All arrays of a group are sharded alike: boxes are listed once, not once an array.
  std::vector<std::vector<std::pair<std::string, std::int64_t>>> element_bytes(
      flat_.groups().size());
  visit_arrays(with_optimizer, [&](const std::string& kind, std::size_t group,
                                   const FlatArray& array) {
    if (array.whole) return;
    element_bytes[group].emplace_back(kind, static_cast<std::int64_t>(size_of(array.dtype())));
  });
  std::vector<std::int64_t> bytes;
  if (with_optimizer) {
    for (const Piece& row : rows_of(dp)) {
      bytes.push_back(static_cast<std::int64_t>(row.data.bytes()));
    }
  }
  for (std::size_t i = 0; i < element_bytes.size(); ++i) {
    if (element_bytes[i].empty()) continue;
    for (const FlatSlice& s : flat_.slices(i, dp)) {
      if (!stores_part_of(*s.parameter)) continue;
      for (const Box& box : boxes_of_range(s.parameter->box.extent, s.first, s.count)) {
        const std::int64_t count = box.count();
        for (const auto& [kind, element] : element_bytes[i]) {
          if (has_array(kind, *s.parameter)) bytes.push_back(count * element);
        }
      }
    }
  }
  return bytes;
}

std::vector<Piece> Trainer::boxes(StateArray what) const {
  std::vector<Piece> boxes;
  for (std::size_t i = 0; i < flat_.groups().size(); ++i) {
    if (what == StateArray::masters && !values_.has_masters(i)) continue;
    if (what == StateArray::gradients && !flat_.groups()[i].trains) continue;
    const FlatArray& array = what == StateArray::gradients ? gradients_.sums(i)
                             : what == StateArray::values  ? values_.values(i)
                                                           : values_.masters(i);
    // With reduce_once_per_step, other ranks' blocks hold this rank's addends.
    const bool whole = array.whole && (what != StateArray::gradients || deck_.zero.stage == 0);
    for (const FlatSlice& s : whole ? flat_.whole_slices(i) : flat_.slices(i, mesh_.at.dp)) {
      std::ranges::move(pieces_of("", s, array), std::back_inserter(boxes));
    }
  }
  return boxes;
}

void Trainer::read_own(WeightSource& source, const std::string& kind, std::size_t group,
                       const FlatArray& to, bool new_may_lack) const {
  std::vector<std::byte> stored;
  std::vector<float> wide;
  const Parameter* last = nullptr;
  bool lacking = false;
  std::string name;
  DType type = DType::f32;
  const bool all = to.stored && to.whole;  // which gather_blocks() doesn't share
  for (const FlatSlice& s :
       all ? flat_.whole_slices(group) : flat_.slices(group, mesh_.at.dp)) {
    const Parameter& p = *s.parameter;
    if (&p != last) {
      last = &p;
      const bool may_lack = new_may_lack && (p.role == ParameterRole::adapter ||
                                             p.role == ParameterRole::classifier);
      lacking = !has_array(kind, p) || (may_lack && !source.has(kind + p.name));
      if (lacking) continue;
      name = kind == "model/" ? most_precise(source, p.name) : kind + p.name;
      type = source.dtype(name);
    }
    if (lacking) continue;
    std::int64_t at = 0;
    for (const Box& box : boxes_of_range(p.box.extent, s.first, s.count)) {
      stored.resize(static_cast<std::size_t>(box.count()) * size_of(type));
      source.read(name, p.global_shape, in_global(p, box),
                  View(stored.data(), type, box.extent));
      wide.resize(static_cast<std::size_t>(box.count()));
      widen(type, stored.data(), wide.data(), box.count());
      const Tensor staged = ex_.make(DType::f32, Shape{box.count()});
      ex_.device.copy_from_host(staged.view().raw(), wide.data(), staged.view().bytes(),
                                ex_.stream);
      to.put(ex_, staged, s, at);
      ex_.stream.synchronize();
      at += box.count();
    }
  }
}

void Trainer::read_factor(WeightSource& source, const Factor& factor) const {
  const Piece& piece = factor.piece;
  std::vector<std::byte> stored(piece.data.bytes());
  source.read(piece.name, piece.global, piece.box,
              View(stored.data(), DType::f64, piece.box.extent));
  ex_.device.copy_from_host(const_cast<void*>(piece.data.raw()), stored.data(), stored.size(),
                            ex_.stream);
  ex_.stream.synchronize();
}

void Trainer::read_history(WeightSource& source) const {
  if (!history_.defined() || !source.has(kHistory)) return;
  const View all = history_;
  if (source.global_shape(kHistory) != all.shape()) return;  // another interval begins anew
  std::vector<double> stored(static_cast<std::size_t>(all.count()));
  source.read(kHistory, all.shape(), Box(Shape{0}, all.shape()),
              View(stored.data(), DType::f64, all.shape()));
  ex_.device.copy_from_host(all.raw(), stored.data(), all.bytes(), ex_.stream);
  ex_.stream.synchronize();
}

void Trainer::read_averages(WeightSource& source) const {
  for (std::size_t i = 0; i < flat_.groups().size(); ++i) {
    const FlatGroup& g = flat_.groups()[i];
    if (!g.trains) continue;
    const bool saved = std::ranges::all_of(g.parameters, [&](const Parameter* p) {
      return source.has("optimizer/ema/" + p->name);
    });
    if (saved) read_own(source, "optimizer/ema/", i, average_->array(i), false);
  }
}

void Trainer::load(WeightSource& source, bool with_optimizer, std::int64_t optimizer_steps) {
  wait_for_values();
  collectively(*mesh_.world, [&] {
    for (std::size_t i = 0; i < flat_.groups().size(); ++i) {
      read_own(source, "model/", i, values_.masters(i), !with_optimizer);
    }
    if (!with_optimizer) return;
    MeanMomentum with_means(source);
    optimizer_.visit_state([&](const char* kind, std::size_t group, const FlatArray& array) {
      read_own(with_means, fmt::format("optimizer/{}/", kind), group, array, false);
    });
    for (const Factor& f : factors()) read_factor(source, f);
    read_history(source);
    read_rows(source);
  });
  collectively(*mesh_.world, [&] { values_.take_masters(); });
  for (std::size_t i = 0; i < flat_.groups().size(); ++i) {
    if (!values_.has_masters(i)) continue;
    gather_blocks(*mesh_.dp, flat_, i,
                  values_.masters(i));  // also where no optimizer is loaded
  }
  visit_arrays(with_optimizer,
               [&](const std::string& kind, std::size_t group, const FlatArray& array) {
                 if (kind == "optimizer/master/") return;
                 gather_blocks(*mesh_.dp, flat_, group, array);
               });
  if (average_) {
    average_->restart();
    if (with_optimizer) collectively(*mesh_.world, [&] { read_averages(source); });
    for (std::size_t i = 0; i < flat_.groups().size(); ++i) {
      if (flat_.groups()[i].trains) gather_blocks(*mesh_.dp, flat_, i, average_->array(i));
    }
  }
  decided_.updates = static_cast<double>(with_optimizer ? optimizer_steps : 0);
  first_updates_ = decided_.updates;
  skipped_ = 0;
  upload_state();
}

}  // namespace trireme
