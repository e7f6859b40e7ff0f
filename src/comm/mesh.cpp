// SPDX-License-Identifier: Apache-2.0
// Rank arithmetic, and splitting the world into communicators.
#include "trireme/comm/mesh.hpp"

#include <utility>
#include <vector>

#include "trireme/comm/mpi.hpp"

namespace trireme {

namespace {

/// The ranks along one axis of the mesh, through `at`.
std::vector<int> ranks_along(const MeshShape& shape, MeshIndex at, int MeshIndex::*axis,
                             int extent) {
  std::vector<int> ranks;
  for (int i = 0; i < extent; ++i) {
    at.*axis = i;
    ranks.push_back(rank_of(shape, at));
  }
  return ranks;
}

void name_groups(const Mesh& mesh) {
  const MeshShape& shape = mesh.shape;
  const auto stages = ranks_along(shape, mesh.at, &MeshIndex::pp, shape.pp);
  name_ranks(*mesh.dp, {"dp", ranks_along(shape, mesh.at, &MeshIndex::dp, shape.dp)});
  name_ranks(*mesh.tp, {"tp", ranks_along(shape, mesh.at, &MeshIndex::tp, shape.tp)});
  name_ranks(*mesh.pp, {"pp", stages});
  if (mesh.first_stage() || mesh.last_stage()) {
    std::vector<int> ends{stages.front()};
    if (shape.pp > 1) ends.push_back(stages.back());
    name_ranks(*mesh.ends, {"the pipeline's ends", std::move(ends)});
  }
  if (mesh.device_world) name_ranks(*mesh.device_world, {"world", {}});
}

}  // namespace

int rank_of(const MeshShape& shape, const MeshIndex& at) {
  return (at.pp * shape.dp + at.dp) * shape.tp + at.tp;
}

MeshIndex index_of(const MeshShape& shape, int rank) {
  return {.dp = rank / shape.tp % shape.dp,
          .tp = rank % shape.tp,
          .pp = rank / (shape.tp * shape.dp)};
}

Mesh::Mesh(const MeshShape& mesh_shape, Communicator& all) : Mesh(mesh_shape, all, nullptr) {}

Mesh::Mesh(const MeshShape& mesh_shape, Communicator& all, std::unique_ptr<Communicator> device)
    : shape(mesh_shape),
      at(index_of(mesh_shape, all.rank())),
      world(&all),
      device_world(std::move(device)) {
  TRM_CHECK(shape.size() == all.size(), "a mesh of {} ranks on {}", shape.size(), all.size());
  Communicator& from = everyone();
  dp = from.split(at.pp * shape.tp + at.tp, at.dp);
  tp = from.split(at.pp * shape.dp + at.dp, at.tp);
  pp = from.split(at.dp * shape.tp + at.tp, at.pp);
  const bool end = first_stage() || last_stage();
  ends = pp->split(end ? 0 : at.pp, at.pp);
  name_groups(*this);
}

Mesh::Mesh(const MeshShape& mesh_shape, const MeshIndex& index, Communicator& all,
           Groups groups)
    : shape(mesh_shape),
      at(index),
      world(&all),
      device_world(std::move(groups.device_world)),
      dp(std::move(groups.dp)),
      tp(std::move(groups.tp)),
      pp(std::move(groups.pp)),
      ends(std::move(groups.ends)) {}

std::string mesh_text(const MeshShape& shape) {
  return fmt::format("dp {} × tp {} × pp {}", shape.dp, shape.tp, shape.pp);
}

}  // namespace trireme
