// SPDX-License-Identifier: Apache-2.0
// One rank of a tiny model on a mesh, with values, gradients and optimizer.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "trireme/comm/mpi.hpp"
#include "trireme/optim/optimizer.hpp"

#include "../model/tiny_model.hpp"
#include "step_state.hpp"

namespace trireme::test {

inline PrecisionConfig all_of(DType type) {
  return {.compute = type,
          .gradient = type,
          .master = type,
          .moments = type,
          .communication = type};
}

/// Meshes with all ranks along one axis, and mixed meshes if the ranks suffice.
inline std::vector<MeshShape> meshes(int ranks) {
  std::vector<MeshShape> list{{ranks, 1, 1}, {1, ranks, 1}, {1, 1, ranks}};
  if (ranks == 4) list.insert(list.end(), {{2, 2, 1}, {2, 1, 2}, {1, 2, 2}});
  return list;
}

/// A model with at least two units for each stage.
struct ShardedModel {
  ShardedModel(const MeshShape& shape, const ModelConfig& c, bool sequence_parallel,
               const ZeroConfig& z, const PrecisionConfig& types = all_of(DType::f64),
               const OptimizerConfig& adam = {})
      : config(c),
        zero(z),
        world(world_communicator()),
        mesh(shape, *world),
        parts(make_parts(sequence_parallel, types.compute)),
        layout(parts, shape.dp, zero.reduce_bucket_size,
               zero.stage3_param_persistence_threshold),
        values(cpu.ex, layout, mesh, zero, types),
        gradients(cpu.ex, layout, mesh, zero, types),
        optimizer(cpu.ex, adam, zero, types, layout, mesh, values, gradients) {}

  std::vector<std::unique_ptr<ModelPart>> make_parts(bool sequence_parallel, DType type) {
    const TensorParallel tp{mesh.tp.get(), sequence_parallel};
    const auto units = static_cast<int>(list_units(config).size());
    const auto bound = [&](int stage) { return units * stage / mesh.shape.pp; };
    std::vector<std::unique_ptr<ModelPart>> list;
    list.push_back(std::make_unique<ModelPart>(cpu.ex, type, config, tp, bound(mesh.at.pp),
                                               bound(mesh.at.pp + 1)));
    return list;
  }

  /// Runs a step without a model: every unit's gradient is `share(parameter, micro-batch)`
  /// times the noise of the parameter's name.
  void reduce(int micro_batches, const std::function<double(const Parameter&, int)>& share) {
    gradients.begin(micro_batches);
    for (int m = 0; m < micro_batches; ++m) {
      std::vector<const Parameter*> filled;
      auto& units = parts[0]->units();
      for (std::size_t u = units.size(); u-- > 0;) {
        gradients.before({0, u});
        units[u]->visit([&](const Parameter& p) {
          if (std::ranges::find(filled, &p) != filled.end()) return;
          filled.push_back(&p);
          const double part = share(p, m);
          for_each_element(p, [&](std::size_t i, std::int64_t global) {
            set(p.grad, i, get(p.grad, i) + part * noise(p.name, global, 5));
          });
        });
        gradients.after_backward({0, u});
        gradients.progress();
      }
    }
    gradients.wait_for_sums();
  }

  TinyExec cpu;
  ModelConfig config;
  ZeroConfig zero;
  std::unique_ptr<Communicator> world;
  Mesh mesh;
  std::vector<std::unique_ptr<ModelPart>> parts;
  FlatLayout layout;
  ParameterValues values;
  GradientReducer gradients;
  Optimizer optimizer;

  /// The norm of the whole gradient, over all ranks.
  [[nodiscard]] double gradient_norm() const { return norm_of(optimizer, cpu.ex, mesh); }
};

/// The noise of a parameter, for each element of its own array.
inline std::vector<double> noise_of(const Parameter& p) {
  std::vector<double> values(static_cast<std::size_t>(p.box.count()));
  for_each_element(
      p, [&](std::size_t i, std::int64_t global) { values[i] = noise(p.name, global, 5); });
  return values;
}

}  // namespace trireme::test
