// SPDX-License-Identifier: Apache-2.0
// Chooses an engine.
#include "plan.hpp"

#include <algorithm>

namespace trireme::cuda {

namespace {

constexpr std::size_t kMostEngines = 32;

std::vector<Descriptor> engines(const Descriptor& graph, const PlanTarget& target) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A);
  if (target.properties != nullptr) {
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
  }
  heuristic.finalize();
  return heuristic.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kMostEngines);
}

}  // namespace

Plan::Plan(Graph& graph, const PlanTarget& target)
    : plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  const Descriptor operations = graph.finish(target.handle);
  const std::vector<Descriptor> configurations = engines(operations, target);
  std::string trouble =
      fmt::format("cuDNN has no engine for this shape ({})", last_explanation());
  for (const Descriptor& configuration : configurations) {
    std::vector<Descriptor> engine = configuration.get_descriptors(
        CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    const auto notes = engine.at(0).get_all<cudnnBackendNumericalNote_t>(
        CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    engine_ =
        fmt::format("engine {}", engine[0].get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
    if (std::find(notes.begin(), notes.end(), CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) !=
        notes.end()) {
      trouble = engine_ + " isn't reproducible to the bit";
      continue;
    }
    try {
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      if (target.properties != nullptr) {
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
      } else {
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
      }
      plan.finalize();
      plan_ = std::move(plan);
    } catch (const Error& e) {
      trouble = e.what();
      continue;
    }
    workspace_bytes_ = static_cast<std::size_t>(
        plan_.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
    return;
  }
  throw Error(trouble);
}

void Plan::run(cudnnHandle_t handle, const std::map<std::int64_t, void*>& arrays,
               void* workspace) const {
  std::vector<std::int64_t> ids;
  std::vector<void*> pointers;
  for (const auto& [id, pointer] : arrays) {
    ids.push_back(id);
    pointers.push_back(pointer);
  }
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(ids))
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<void* const>(pointers))
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace)
      .finalize();
  TRM_CUDNN(cudnnBackendExecute(handle, plan_.raw(), pack.raw()));
}

}  // namespace trireme::cuda
