// SPDX-License-Identifier: Apache-2.0
// Kernels that do nothing, for a dry run.
#include "trireme/backend/dry.hpp"

namespace trireme {

namespace {

using V = const View&;
using C = const ConstView&;

class DryKernels : public Kernels {
 public:
  void gemm(Stream&, C, Op, C, Op, V, double, C) override {}
  void accumulate_rows(Stream&, C, V) override {}
  void norm_forward(Stream&, Norm, double, C, C, C, V, V) override {}
  void norm_backward(Stream&, Norm, C, C, C, C, C, V, V, V) override {}
  void rotary(Stream&, V, const AttentionShape&, C, bool) override {}
  void attention_forward(Stream&, C, const AttentionShape&, const Dropout&, V, V) override {}
  void attention_backward(Stream&, C, C, C, C, const AttentionShape&, const Dropout&,
                          V) override {}
  void activation_forward(Stream&, Activation, C, V) override {}
  void activation_backward(Stream&, Activation, C, C, V) override {}
  void embedding_forward(Stream&, C, C, std::int64_t, V) override {}
  void embedding_backward(Stream&, C, C, std::int64_t, V) override {}
  void positions_forward(Stream&, C, std::int64_t, std::int64_t, V) override {}
  void positions_backward(Stream&, C, std::int64_t, std::int64_t, V) override {}
  void softmax_local(Stream&, V, C, std::int64_t, V, V, V) override {}
  void softmax_rescale(Stream&, C, C, std::int64_t, std::int64_t, V, V, V) override {}
  void softmax_loss(Stream&, C, C, V) override {}
  void softmax_gradient(Stream&, V, C, std::int64_t, C, C, double, C) override {}
  void add(Stream&, C, C, V) override {}
  void cast(Stream&, C, V) override {}
  void accumulate(Stream&, C, V) override {}
  void copy(Stream&, C, V) override {}
  void dropout(Stream&, C, const Dropout&, C, V) override {}
  void accumulate_squares(Stream&, C, V) override {}
  void adamw(Stream&, const AdamwStep&, C, C, V, V, V, V) override {}
  void sgd(Stream&, const SgdStep&, C, C, V, V, V) override {}
  void decide_step(Stream&, const StepRule&, V) override {}
  void note_non_finite(Stream&, C, std::int64_t, V) override {}
  std::int64_t first_non_finite(Stream&, C) override { return -1; }
};

}  // namespace

std::unique_ptr<Kernels> make_dry_kernels() { return std::make_unique<DryKernels>(); }

}  // namespace trireme
