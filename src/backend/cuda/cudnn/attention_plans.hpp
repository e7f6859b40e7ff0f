// SPDX-License-Identifier: Apache-2.0
// Both passes of attention of one shape, ready to run.
#pragma once

#include "attention_graph.hpp"
#include "plan.hpp"

namespace trireme::cuda {

/// Pointers to an array's first entry; the heads of a token lie as AttentionProblem says.
struct AttentionPointers {
  void* qkv = nullptr;
  void* out = nullptr;
  void* lse = nullptr;
  void* dout = nullptr;
  void* dqkv = nullptr;
};

class AttentionPlans {
 public:
  /// With at most so much workspace. Throws Error, which says why, where it can't be had.
  AttentionPlans(const AttentionProblem& problem, const PlanTarget& target,
                 std::size_t workspace_bytes);

  void forward(cudnnHandle_t handle, const AttentionPointers& a, void* workspace) const;
  void backward(cudnnHandle_t handle, const AttentionPointers& a, void* workspace) const;

  /// What of the batch and the heads goes through the backward pass at once.
  [[nodiscard]] const AttentionProblem& part() const { return part_; }
  [[nodiscard]] std::int64_t parts() const;
  /// Of the larger pass.
  [[nodiscard]] std::size_t workspace_bytes() const;
  /// "engine 2 forward, engine 6 backward in 4 parts".
  [[nodiscard]] std::string describe() const;

 private:
  AttentionProblem problem_;
  AttentionProblem part_;
  Plan forward_;
  Plan backward_;
};

}  // namespace trireme::cuda
