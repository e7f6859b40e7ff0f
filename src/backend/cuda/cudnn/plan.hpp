// SPDX-License-Identifier: Apache-2.0
// A graph made ready to run.
#pragma once

#include <map>
#include <string>

#include "graph.hpp"

namespace trireme::cuda {

/// What a plan is for: a handle's GPU; or, with no GPU at hand, one of these properties, for a
/// plan that can't be run.
struct PlanTarget {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

class Plan {
 public:
  /// By the first of the library's engines, in its own order, that isn't said to give other
  /// bits in every run. Throws Error, which says why, where there is none.
  Plan(Graph& graph, const PlanTarget& target);

  [[nodiscard]] std::size_t workspace_bytes() const { return workspace_bytes_; }
  [[nodiscard]] const std::string& engine() const { return engine_; }
  /// Queues it on the handle's stream. Numbers are read now, from host memory.
  void run(cudnnHandle_t handle, const std::map<std::int64_t, void*>& arrays,
           void* workspace) const;

 private:
  Descriptor plan_;
  std::size_t workspace_bytes_ = 0;
  std::string engine_;
};

}  // namespace trireme::cuda
