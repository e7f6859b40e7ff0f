// SPDX-License-Identifier: Apache-2.0
// Meshes, models and levers whose combinations are trained.
#pragma once

#include <array>
#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "training.hpp"

namespace trireme::test {

/// A mesh with what a deck sets for it.
struct LeverMesh {
  std::string name;
  int ranks = 1;
  Json deck;
  int turn = 0;  ///< number in the list
};
inline std::ostream& operator<<(std::ostream& out, const LeverMesh& m) { return out << m.name; }

struct MeshSize {
  int dp = 1, tp = 1, pp = 1;
};
[[nodiscard]] LeverMesh mesh_of(const std::string& name, const MeshSize& size,
                                const Json& deck = Json::object());

/// The meshes that are held against one rank.
[[nodiscard]] std::vector<LeverMesh> parity_meshes();
inline constexpr std::size_t kParityModels = 4;
/// The models that follow have the parts of Hugging Face's families and of encoders, and muP.
inline constexpr std::size_t kPartModels = 6;
/// The deck of model number `model`, for 20 steps of 16 samples. The models differ in all that
/// is sharded.
[[nodiscard]] Json parity_deck(std::size_t model, bool dropout);

/// The meshes on which no lever of memory may change a bit.
[[nodiscard]] const std::vector<LeverMesh>& lever_meshes();
[[nodiscard]] const LeverMesh& lever_mesh(const std::string& name);

extern const std::array<Json, 4> kRecompute;
/// Settings of stage 3's limits.
extern const std::array<Json, 4> kLimits;
/// Settings of buckets, which decide the order of the norm's sum, and with the order its last
/// bit.
extern const std::array<Json, 4> kLayouts;

/// Model and layout alternate with mesh, accumulation and precision (0: fp32, 1: bf16).
[[nodiscard]] Json lever_deck(const LeverMesh& mesh, int accumulation, int precision,
                              const Json& zero, const Json& more = Json::object());

/// The base deck of lever runs with model number `model`.
[[nodiscard]] Json lever_model(int model);

}  // namespace trireme::test
