// SPDX-License-Identifier: Apache-2.0
// Plans for both passes of attention of one shape.
#pragma once

#include "attention_graph.hpp"
#include "plan.hpp"

namespace trireme::cuda {

/// Pointers to the first entry of each array. AttentionProblem states the layout of heads.
struct AttentionPointers {
  void* qkv = nullptr;
  void* out = nullptr;
  void* lse = nullptr;
  void* dout = nullptr;
  void* dqkv = nullptr;
};

class AttentionPlans {
 public:
  /// Makes plans that need at most `workspace_bytes`. Throws Error with the reason if cuDNN
  /// can't.
  AttentionPlans(const AttentionProblem& problem, const PlanTarget& target,
                 std::size_t workspace_bytes);

  void forward(cudnnHandle_t handle, const AttentionPointers& a, void* workspace) const;
  void backward(cudnnHandle_t handle, const AttentionPointers& a, void* workspace) const;

  /// The share of batch and heads that goes through the backward pass at once.
  [[nodiscard]] const AttentionProblem& part() const { return part_; }
  [[nodiscard]] std::int64_t parts() const;
  /// Workspace of the larger pass.
  [[nodiscard]] std::size_t workspace_bytes() const;
  /// A description such as "engine 2 forward, engine 6 backward in 4 parts".
  [[nodiscard]] std::string describe() const;

 private:
  AttentionProblem problem_;
  AttentionProblem part_;
  Plan forward_;
  Plan backward_;
};

}  // namespace trireme::cuda
