// SPDX-License-Identifier: Apache-2.0
// A trainer's state as named boxes: what a checkpoint holds.
#include <cstddef>
#include <vector>

#include "trireme/checkpoint/store.hpp"

#include "trainer.hpp"

namespace trireme {

void Trainer::visit_tensors(const std::function<void(const std::string& name, const Parameter&,
                                                     const View&)>& f) const {
  for (const Parameter* p : store_.parameters()) f("model/" + p->name, *p, p->value);
  optimizer_.visit_state([&](const char* kind, const Parameter& p, const View& v) {
    f(std::string("optimizer/") + kind + "/" + p.name, p, v);
  });
}

void Trainer::write_state(CheckpointWriter& writer) const {
  if (mesh_.at.dp > 0) return;  // replicas
  std::vector<std::byte> host;
  visit_tensors([&](const std::string& name, const Parameter& p, const View& v) {
    if (p.tied_copy || (p.replicated_tp && mesh_.at.tp > 0)) return;
    host.resize(v.bytes());
    ex_.device.copy_to_host(host.data(), v.raw(), v.bytes(), ex_.stream);
    ex_.stream.synchronize();
    writer.write(name, p.global_shape, p.box, View(host.data(), v.dtype(), v.shape()));
  });
}

void Trainer::read_state(CheckpointReader& reader, std::int64_t optimizer_steps) {
  std::vector<std::byte> host;
  visit_tensors([&](const std::string& name, const Parameter& p, const View& v) {
    host.resize(v.bytes());
    const View piece(host.data(), v.dtype(), v.shape());
    reader.read(name, p.global_shape, p.box, piece);
    ex_.device.copy_from_host(v.raw(), host.data(), host.size(), ex_.stream);
    ex_.stream.synchronize();
  });
  optimizer_.set_steps(optimizer_steps);
}

}  // namespace trireme
