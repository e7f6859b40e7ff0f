// SPDX-License-Identifier: Apache-2.0
// A plan: a graph with the engine that runs it.
#pragma once

#include <map>
#include <string>

#include "graph.hpp"

namespace trireme::cuda {

/// The device of a plan: a handle's GPU or, without a GPU, device properties. A plan for
/// properties can't run.
struct PlanTarget {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

class Plan {
 public:
  /// Takes the first of cuDNN's engines, in its own order, that is reproducible to the bit.
  /// Throws Error with the reason if there is none.
  Plan(Graph& graph, const PlanTarget& target);

  [[nodiscard]] std::size_t workspace_bytes() const { return workspace_bytes_; }
  [[nodiscard]] const std::string& engine() const { return engine_; }
  /// Queues the plan on the handle's stream. Values in host memory are read during the call.
  void run(cudnnHandle_t handle, const std::map<std::int64_t, void*>& arrays,
           void* workspace) const;

 private:
  Descriptor plan_;
  std::size_t workspace_bytes_ = 0;
  std::string engine_;
};

}  // namespace trireme::cuda
