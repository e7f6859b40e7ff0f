// SPDX-License-Identifier: Apache-2.0
// Rank arithmetic and the splitting of the world.
#include "trireme/comm/mesh.hpp"

namespace trireme {

int rank_of(const MeshShape& shape, const MeshIndex& at) {
  return (at.pp * shape.dp + at.dp) * shape.tp + at.tp;
}

MeshIndex index_of(const MeshShape& shape, int rank) {
  return {.dp = rank / shape.tp % shape.dp,
          .tp = rank % shape.tp,
          .pp = rank / (shape.tp * shape.dp)};
}

Mesh::Mesh(const MeshShape& mesh_shape, Communicator& all)
    : shape(mesh_shape), at(index_of(mesh_shape, all.rank())), world(&all) {
  TRM_CHECK(shape.size() == all.size(), "a mesh of {} ranks on {}", shape.size(), all.size());
  dp = all.split(at.pp * shape.tp + at.tp, at.dp);
  tp = all.split(at.pp * shape.dp + at.dp, at.tp);
  pp = all.split(at.dp * shape.tp + at.tp, at.pp);
  const bool end = first_stage() || last_stage();
  ends = pp->split(end ? 0 : at.pp, at.pp);
}

Mesh::Mesh(const MeshShape& mesh_shape, const MeshIndex& index, Communicator& all,
           Groups groups)
    : shape(mesh_shape),
      at(index),
      world(&all),
      dp(std::move(groups.dp)),
      tp(std::move(groups.tp)),
      pp(std::move(groups.pp)),
      ends(std::move(groups.ends)) {}

}  // namespace trireme
