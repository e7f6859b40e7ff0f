// SPDX-License-Identifier: Apache-2.0
// A trainer's state as named boxes: what a checkpoint holds.
#include <cstddef>
#include <vector>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/reader.hpp"

#include "trainer.hpp"

namespace trireme {

std::vector<Trainer::StateTensor> Trainer::state_tensors(bool with_optimizer) const {
  std::vector<StateTensor> tensors;
  for (const Parameter* p : store_.parameters()) {
    tensors.push_back({"model/" + p->name, p, p->value});
  }
  if (!with_optimizer) return tensors;
  optimizer_.visit_state([&](const char* kind, const Parameter& p, const View& v) {
    tensors.push_back({fmt::format("optimizer/{}/{}", kind, p.name), &p, v});
  });
  return tensors;
}

std::vector<HeldPiece> Trainer::held(bool with_optimizer) const {
  std::vector<HeldPiece> held;
  for (const StateTensor& t : state_tensors(with_optimizer)) {
    const Parameter& p = *t.parameter;
    if (p.tied_copy) continue;  // the first stage's is the one to keep
    HeldPiece h{{t.name, p.global_shape, p.box, t.view}, mesh_.at.dp, mesh_.shape.dp};
    if (p.replicated_tp) {
      h.replica = mesh_.at.dp * mesh_.shape.tp + mesh_.at.tp;
      h.replicas = mesh_.shape.dp * mesh_.shape.tp;
    }
    held.push_back(std::move(h));
  }
  return held;
}

void Trainer::load(CheckpointReader& reader, bool with_optimizer,
                   std::int64_t optimizer_steps) {
  const auto tensors = state_tensors(with_optimizer);
  std::vector<ConstView> views;
  for (const StateTensor& t : tensors) views.push_back(t.view);
  std::string problem;
  try {
    std::vector<std::byte> host;
    for (const Rows& rows : share(views, mesh_.shape.dp, mesh_.at.dp)) {
      const StateTensor& t = tensors[rows.item];
      const Parameter& p = *t.parameter;
      const Piece piece = rows_of({t.name, p.global_shape, p.box, t.view}, rows);
      host.resize(piece.data.bytes());
      const View part(host.data(), piece.data.dtype(), piece.box.extent);
      reader.read(t.name, p.global_shape, piece.box, part);
      void* to = const_cast<void*>(piece.data.raw());  // of t.view
      ex_.device.copy_from_host(to, host.data(), host.size(), ex_.stream);
      ex_.stream.synchronize();
    }
  } catch (const Error& e) {
    problem = e.what();
  }
  mesh_.world->agree(problem);
  for (int r = 0; r < mesh_.shape.dp; ++r) {
    for (const Rows& rows : share(views, mesh_.shape.dp, r)) {
      const View& v = tensors[rows.item].view;
      const std::int64_t row = v.count() / v.shape()[0];
      const View flat = v.reshape(Shape{v.shape()[0], row});
      mesh_.dp->broadcast(flat.slice_rows(rows.first, rows.count), r);
    }
  }
  optimizer_.set_steps(with_optimizer ? optimizer_steps : 0);
}

}  // namespace trireme
