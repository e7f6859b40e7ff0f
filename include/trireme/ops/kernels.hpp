// SPDX-License-Identifier: Apache-2.0
// Kernels: what a backend computes. Call kernels through the functions of ops/*.hpp, which
// state formulas and check arguments. Implementations rely on those checks.
#pragma once

#include "trireme/ops/step_state.hpp"
#include "trireme/ops/types.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

class Kernels {
 public:
  virtual ~Kernels() = default;

  virtual void gemm(Stream& s, const ConstView& a, Op op_a, const ConstView& b, Op op_b,
                    const View& c, double beta, const ConstView& bias) = 0;
  virtual void accumulate_rows(Stream& s, const ConstView& x, const View& sum) = 0;
  // GEMMs fused with their neighbours. The default implementations run the steps one by one.
  virtual void gemm_activation(Stream& s, const ConstView& x, const ConstView& weight,
                               const ConstView& bias, Activation kind, const View& before,
                               const View& y);
  virtual void gemm_activation_backward(Stream& s, const ConstView& dy, const ConstView& weight,
                                        Activation kind, const ConstView& before,
                                        const View& dx);
  virtual void accumulate_weight_gradient(Stream& s, const ConstView& dy, const ConstView& x,
                                          const View& dweight, const View& dbias);

  virtual void norm_forward(Stream& s, Norm kind, double epsilon, const ConstView& x,
                            const ConstView& weight, const ConstView& bias, const View& y,
                            const View& statistics) = 0;
  /// Stores sum = x + dropout(add), and runs norm_forward on the sum.
  virtual void residual_norm_forward(Stream& s, Norm kind, double epsilon, const ConstView& x,
                                     const Residual& residual, const ConstView& weight,
                                     const ConstView& bias, const View& sum, const View& y,
                                     const View& statistics);
  virtual void norm_backward(Stream& s, Norm kind, const ConstView& dy, const ConstView& x,
                             const ConstView& weight, const ConstView& statistics,
                             const ConstView& add, const View& dx, const View& dweight,
                             const View& dbias) = 0;

  virtual void rotary(Stream& s, const View& qkv, const AttentionShape& shape,
                      const ConstView& table, bool inverse) = 0;
  virtual void attention_forward(Stream& s, const ConstView& qkv, const AttentionShape& shape,
                                 const Dropout& dropout, const View& out, const View& lse) = 0;
  virtual void attention_backward(Stream& s, const ConstView& dout, const ConstView& qkv,
                                  const ConstView& out, const ConstView& lse,
                                  const AttentionShape& shape, const Dropout& dropout,
                                  const View& dqkv) = 0;

  virtual void activation_forward(Stream& s, Activation kind, const ConstView& x,
                                  const View& y) = 0;
  virtual void activation_backward(Stream& s, Activation kind, const ConstView& x,
                                   const ConstView& dy, const View& dx) = 0;

  virtual void embedding_forward(Stream& s, const ConstView& ids, const ConstView& table,
                                 std::int64_t first_row, const View& y) = 0;
  virtual void embedding_backward(Stream& s, const ConstView& ids, const ConstView& dy,
                                  std::int64_t first_row, const View& dtable) = 0;
  virtual void positions_forward(Stream& s, const ConstView& table, std::int64_t seq,
                                 std::int64_t first_row, const View& y) = 0;
  virtual void positions_backward(Stream& s, const ConstView& dy, std::int64_t seq,
                                  std::int64_t first_row, const View& dtable) = 0;

  virtual void softmax_local(Stream& s, const View& logits, const ConstView& targets,
                             std::int64_t first_column, const View& max, const View& sum,
                             const View& picked) = 0;
  virtual void softmax_rescale(Stream& s, const ConstView& global_max, const ConstView& targets,
                               std::int64_t first_column, std::int64_t columns, const View& max,
                               const View& sum, const View& picked) = 0;
  virtual void softmax_loss(Stream& s, const ConstView& sum, const ConstView& picked,
                            const View& total) = 0;
  virtual void softmax_gradient(Stream& s, const View& logits, const ConstView& targets,
                                std::int64_t first_column, const ConstView& factor,
                                const ConstView& sum, double scale,
                                const ConstView& scale_too) = 0;

  virtual void add(Stream& s, const ConstView& a, const ConstView& b, const View& y) = 0;
  virtual void cast(Stream& s, const ConstView& x, const View& y) = 0;
  virtual void accumulate(Stream& s, const ConstView& x, const View& y) = 0;
  virtual void copy(Stream& s, const ConstView& x, const View& y) = 0;
  virtual void dropout(Stream& s, const ConstView& x, const Dropout& spec, const ConstView& add,
                       const View& y) = 0;
  virtual void accumulate_squares(Stream& s, const ConstView& x, const View& total) = 0;
  virtual void adamw(Stream& s, const AdamwStep& step, const ConstView& state,
                     const ConstView& gradient, const View& value, const View& exp_avg,
                     const View& exp_avg_sq, const View& copy) = 0;
  virtual void sgd(Stream& s, const SgdStep& step, const ConstView& state,
                   const ConstView& gradient, const View& value, const View& momentum,
                   const View& copy) = 0;
  virtual void decide_step(Stream& s, const StepRule& rule, const View& state) = 0;
  virtual void note_non_finite(Stream& s, const ConstView& x, std::int64_t code,
                               const View& least) = 0;
  /// Returns the index of the first element that is inf or NaN, −1 if none. Waits for the
  /// stream.
  [[nodiscard]] virtual std::int64_t first_non_finite(Stream& s, const ConstView& x) = 0;
};

}  // namespace trireme
