// SPDX-License-Identifier: Apache-2.0
// A model for inference on a mesh whose ranks are threads, with weights of golden.h5 or drawn.
#pragma once

#include <memory>
#include <string>

#include "trireme/backend/cpu.hpp"
#include "trireme/inference/inference.hpp"

#include "../support/golden/golden.hpp"
#include "../support/thread_ranks.hpp"

namespace trireme::test {

/// The weights of a golden case, as a checkpoint would give them.
class GoldenWeights final : public WeightSource {
 public:
  explicit GoldenWeights(const Golden& golden) : golden_(golden) {}
  [[nodiscard]] bool has(const std::string& name) const override {
    return name.starts_with("model/");
  }
  [[nodiscard]] Shape global_shape(const std::string& name) const override {
    return set(name).shape();
  }
  [[nodiscard]] DType dtype(const std::string& /*name*/) const override { return DType::f32; }
  [[nodiscard]] std::vector<std::string> names() const override { return {}; }
  using WeightSource::read;
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override {
    TRM_CHECK(global == global_shape(name), "{} has another shape", name);
    set(name).read(box, to);
  }

 private:
  [[nodiscard]] h5::Dataset set(const std::string& name) const {
    return golden_.dataset("param/" + name.substr(std::string("model/").size()));
  }
  const Golden& golden_;
};

/// A mesh, by its sizes.
struct SmallMesh {
  int dp = 1;
  int tp = 1;
  int pp = 1;
  [[nodiscard]] int ranks() const { return dp * tp * pp; }
};
inline constexpr SmallMesh kSmallMeshes[] = {{}, {.tp = 2}, {.pp = 2}, {.dp = 2}};
inline std::ostream& operator<<(std::ostream& out, const SmallMesh& m) {
  return out << "dp " << m.dp << " tp " << m.tp << " pp " << m.pp;
}

/// A deck of this model for a mesh.
inline Deck small_deck(const ModelConfig& model, const SmallMesh& mesh) {
  Deck deck;
  deck.model = model;
  deck.model_parallel_size = mesh.tp;
  deck.pipe_parallel_size = mesh.pp;
  deck.pipe_partition_method = "uniform";
  deck.seed = 5;
  return deck;
}

/// One rank's model.
struct InferenceRank {
  InferenceRank(const Deck& deck, Communicator& world, std::int64_t context = 0)
      : mesh(mesh_shape(deck, world.size()), world), inference(ex, deck, mesh, context) {}

  std::unique_ptr<Device> device = make_cpu_device();
  std::unique_ptr<Stream> stream = device->make_stream();
  std::unique_ptr<Kernels> kernels = make_cpu_kernels();
  Exec ex{*device, *kernels, *stream, 5};
  Mesh mesh;
  Inference inference;
};

}  // namespace trireme::test
