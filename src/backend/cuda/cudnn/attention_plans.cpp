// SPDX-License-Identifier: Apache-2.0
// The backward pass stores the scores' gradients, and runs in parts that fit the workspace.
#include "attention_plans.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "trireme/core/round_up.hpp"

namespace trireme::cuda {

namespace {

/// One fp32 sum for each query, in front of cuDNN's own workspace.
std::int64_t row_sum_bytes(const AttentionProblem& p) {
  return round_up<std::int64_t>(4 * p.batch * p.heads * p.seq, 256);
}

/// Bytes of score gradients, which engines for compute capability 9.0 store in tiles of 64 ×
/// 128.
std::int64_t score_bytes(const AttentionProblem& p) {
  return 2 * p.batch * p.heads * round_up<std::int64_t>(p.seq, 64) *
         round_up<std::int64_t>(p.seq, 128);
}

AttentionProblem part_of(const AttentionProblem& whole, std::size_t room) {
  const auto fits = [&](const AttentionProblem& p) {
    const bool all = p.batch == whole.batch && p.heads == whole.heads;
    const bool aligned = all || 4 * p.batch * p.heads * p.seq % kAlignment == 0;
    return aligned && static_cast<std::size_t>(row_sum_bytes(p) + score_bytes(p)) <= room;
  };
  AttentionProblem part = whole;
  for (part.batch = whole.batch; part.batch > 0; --part.batch) {
    if (whole.batch % part.batch == 0 && fits(part)) return part;
  }
  part.batch = 1;
  for (part.heads = whole.heads; part.heads > 0; --part.heads) {
    if (whole.heads % part.heads == 0 && fits(part)) return part;
  }
  throw Error(fmt::format("no part of {} × {} tokens and {} heads fits a workspace of {} MiB",
                          whole.batch, whole.seq, whole.heads, room >> 20U));
}

Plan plan_of(Graph graph, const PlanTarget& target) { return {graph, target}; }

std::byte* at(void* array, std::int64_t bytes) {
  return static_cast<std::byte*>(array) + bytes;
}

}  // namespace

AttentionPlans::AttentionPlans(const AttentionProblem& problem, const PlanTarget& target,
                               std::size_t workspace_bytes)
    : problem_(problem),
      part_(part_of(problem, workspace_bytes)),
      forward_(plan_of(attention_forward_graph(problem_), target)),
      backward_(plan_of(attention_backward_graph(part_), target)) {
  TRM_REQUIRE(this->workspace_bytes() <= workspace_bytes,
              "cuDNN needs a workspace of {} bytes, there are {}", this->workspace_bytes(),
              workspace_bytes);
}

std::int64_t AttentionPlans::parts() const {
  return problem_.batch / part_.batch * (problem_.heads / part_.heads);
}

std::size_t AttentionPlans::workspace_bytes() const {
  return std::max(forward_.workspace_bytes(),
                  static_cast<std::size_t>(row_sum_bytes(part_)) + backward_.workspace_bytes());
}

std::string AttentionPlans::describe() const {
  return fmt::format("{} forward, {} backward in {} part{}", forward_.engine(),
                     backward_.engine(), parts(), parts() == 1 ? "" : "s");
}

void AttentionPlans::forward(cudnnHandle_t handle, const AttentionPointers& a,
                             void* workspace) const {
  const std::int64_t head = 2 * problem_.head_dim;
  float scale = 1.0F / std::sqrt(static_cast<float>(problem_.head_dim));
  float minus_infinity = -std::numeric_limits<float>::infinity();
  forward_.run(handle,
               {{kQuery, a.qkv},
                {kKey, at(a.qkv, head)},
                {kValue, at(a.qkv, 2 * head)},
                {kOut, a.out},
                {kLse, a.lse},
                {kScale, &scale},
                {kMinusInfinity, &minus_infinity}},
               workspace);
}

void AttentionPlans::backward(cudnnHandle_t handle, const AttentionPointers& a,
                              void* workspace) const {
  const std::int64_t head = 2 * problem_.head_dim;
  float scale = 1.0F / std::sqrt(static_cast<float>(problem_.head_dim));
  float minus_infinity = -std::numeric_limits<float>::infinity();
  float one = 1;
  for (std::int64_t b = 0; b < problem_.batch; b += part_.batch) {
    for (std::int64_t h = 0; h < problem_.heads; h += part_.heads) {
      const std::int64_t token = b * problem_.seq;
      const std::int64_t qkv = 2 * token * problem_.qkv_row + 3 * head * h;
      const std::int64_t out = 2 * token * problem_.out_row + head * h;
      const std::int64_t lse = 4 * (b * problem_.heads + h) * problem_.seq;
      backward_.run(handle,
                    {{kQuery, at(a.qkv, qkv)},
                     {kKey, at(a.qkv, qkv + head)},
                     {kValue, at(a.qkv, qkv + 2 * head)},
                     {kOut, at(a.out, out)},
                     {kLse, at(a.lse, lse)},
                     {kOutGradient, at(a.dout, out)},
                     {kQueryGradient, at(a.dqkv, qkv)},
                     {kKeyGradient, at(a.dqkv, qkv + head)},
                     {kValueGradient, at(a.dqkv, qkv + 2 * head)},
                     {kRowSum, workspace},
                     {kScale, &scale},
                     {kMinusInfinity, &minus_infinity},
                     {kOne, &one}},
                    at(workspace, row_sum_bytes(part_)));
    }
  }
}

}  // namespace trireme::cuda
