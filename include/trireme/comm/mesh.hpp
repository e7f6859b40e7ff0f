// SPDX-License-Identifier: Apache-2.0
// The mesh dp × tp × pp: pure rank arithmetic, and the communicators of one rank.
//
// Rank order is GPT-NeoX's: tensor fastest, then data, then pipeline:
// rank = (pp_index × dp + dp_index) × tp + tp_index.
#pragma once

#include <memory>
#include <string>

#include "trireme/comm/communicator.hpp"

namespace trireme {

struct MeshShape {
  int dp = 1;
  int tp = 1;
  int pp = 1;
  [[nodiscard]] int size() const { return dp * tp * pp; }
};

/// "dp 2 × tp 1 × pp 1".
[[nodiscard]] std::string mesh_text(const MeshShape& shape);

struct MeshIndex {
  int dp = 0;
  int tp = 0;
  int pp = 0;
  friend bool operator==(const MeshIndex&, const MeshIndex&) = default;
};

[[nodiscard]] int rank_of(const MeshShape& shape, const MeshIndex& at);
[[nodiscard]] MeshIndex index_of(const MeshShape& shape, int rank);

/// The communicators of one rank. Its rank in `pp` is its stage. Making a mesh is collective.
struct Mesh {
  MeshShape shape;
  MeshIndex at;
  Communicator* world = nullptr;               ///< for host values
  std::unique_ptr<Communicator> device_world;  ///< for arrays, if these are on a GPU
  std::unique_ptr<Communicator> dp;            ///< same model part, other samples
  std::unique_ptr<Communicator> tp;            ///< same layers, other columns and rows
  std::unique_ptr<Communicator> pp;            ///< same samples, other layers
  /// First and last stage of a pipeline (tied embeddings); a stage between them is alone here.
  std::unique_ptr<Communicator> ends;

  struct Groups {
    std::unique_ptr<Communicator> dp, tp, pp, ends, device_world;
  };

  Mesh(const MeshShape& shape, Communicator& world);
  /// `device_world` has the ranks of world; the other communicators are split from it.
  Mesh(const MeshShape& shape, Communicator& world, std::unique_ptr<Communicator> device_world);
  /// Takes communicators that exist already. Not collective.
  Mesh(const MeshShape& shape, const MeshIndex& at, Communicator& world, Groups groups);
  /// All ranks, for arrays on this rank's device.
  [[nodiscard]] Communicator& everyone() const { return device_world ? *device_world : *world; }
  [[nodiscard]] bool first_stage() const { return at.pp == 0; }
  [[nodiscard]] bool last_stage() const { return at.pp == shape.pp - 1; }
};

}  // namespace trireme
