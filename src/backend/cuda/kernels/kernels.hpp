// SPDX-License-Identifier: Apache-2.0
// The GPU's Kernels. Formulas and contracts are in ops/*.hpp. Types: f32, bf16, f16; f64 only
// where ops/*.hpp names it.
#pragma once

#include <memory>

#include "trireme/backend/cuda.hpp"

namespace trireme::cuda {

class CudnnAttention;  // attention/cudnn.hpp
class Gemm;            // gemm/gemm.hpp, with cuBLASLt
class Workspace;       // runtime/workspace.hpp

class CudaKernels final : public Kernels {
 public:
  CudaKernels(Device& device, const CudaOptions& options);
  ~CudaKernels() override;
  CudaKernels(const CudaKernels&) = delete;
  CudaKernels& operator=(const CudaKernels&) = delete;

  void gemm(Stream& s, const ConstView& a, Op op_a, const ConstView& b, Op op_b, const View& c,
            double beta, const ConstView& bias) override;
  void accumulate_rows(Stream& s, const ConstView& x, const View& sum) override;
  void gemm_activation(Stream& s, const ConstView& x, const ConstView& weight,
                       const ConstView& bias, Activation kind, const View& before,
                       const View& y) override;
  void gemm_activation_backward(Stream& s, const ConstView& dy, const ConstView& weight,
                                Activation kind, const ConstView& before,
                                const View& dx) override;
  void accumulate_weight_gradient(Stream& s, const ConstView& dy, const ConstView& x,
                                  const View& dweight, const View& dbias) override;
  void norm_forward(Stream& s, Norm kind, double epsilon, const ConstView& x,
                    const ConstView& weight, const ConstView& bias, const View& y,
                    const View& statistics) override;
  void residual_norm_forward(Stream& s, Norm kind, double epsilon, const ConstView& x,
                             const Residual& residual, const ConstView& weight,
                             const ConstView& bias, const View& sum, const View& y,
                             const View& statistics) override;
  void norm_backward(Stream& s, Norm kind, const ConstView& dy, const ConstView& x,
                     const ConstView& weight, const ConstView& statistics, const ConstView& add,
                     const View& dx, const View& dweight, const View& dbias) override;
  void rotary(Stream& s, const View& qkv, const AttentionShape& shape, const ConstView& table,
              bool inverse) override;
  void attention_forward(Stream& s, const ConstView& qkv, const AttentionShape& shape,
                         const Dropout& dropout, const View& out, const View& lse) override;
  void attention_backward(Stream& s, const ConstView& dout, const ConstView& qkv,
                          const ConstView& out, const ConstView& lse,
                          const AttentionShape& shape, const Dropout& dropout,
                          const View& dqkv) override;
  void activation_forward(Stream& s, Activation kind, const ConstView& x,
                          const View& y) override;
  void activation_backward(Stream& s, Activation kind, const ConstView& x, const ConstView& dy,
                           const View& dx) override;
  void embedding_forward(Stream& s, const ConstView& ids, const ConstView& table,
                         std::int64_t first_row, const View& y) override;
  void embedding_backward(Stream& s, const ConstView& ids, const ConstView& dy,
                          std::int64_t first_row, const View& dtable) override;
  void positions_forward(Stream& s, const ConstView& table, std::int64_t seq,
                         std::int64_t first_row, const View& y) override;
  void positions_backward(Stream& s, const ConstView& dy, std::int64_t seq,
                          std::int64_t first_row, const View& dtable) override;
  void softmax_local(Stream& s, const View& logits, const ConstView& targets,
                     std::int64_t first_column, const View& max, const View& sum,
                     const View& picked) override;
  void softmax_rescale(Stream& s, const ConstView& global_max, const ConstView& targets,
                       std::int64_t first_column, std::int64_t columns, const View& max,
                       const View& sum, const View& picked) override;
  void softmax_loss(Stream& s, const ConstView& sum, const ConstView& picked,
                    const View& total) override;
  void softmax_gradient(Stream& s, const View& exponentials, const ConstView& targets,
                        std::int64_t first_column, const ConstView& factor,
                        const ConstView& sum, double scale,
                        const ConstView& scale_too) override;
  void add(Stream& s, const ConstView& a, const ConstView& b, const View& y) override;
  void cast(Stream& s, const ConstView& x, const View& y) override;
  void accumulate(Stream& s, const ConstView& x, const View& y) override;
  void copy(Stream& s, const ConstView& x, const View& y) override;
  void dropout(Stream& s, const ConstView& x, const Dropout& spec, const ConstView& add,
               const View& y) override;
  void accumulate_squares(Stream& s, const ConstView& x, const View& total) override;
  void adamw(Stream& s, const AdamwStep& step, const ConstView& state,
             const ConstView& gradient, const View& value, const View& exp_avg,
             const View& exp_avg_sq, const View& copy) override;
  void sgd(Stream& s, const SgdStep& step, const ConstView& state, const ConstView& gradient,
           const View& value, const View& momentum, const View& copy) override;
  void decide_step(Stream& s, const StepRule& rule, const View& state) override;
  void note_non_finite(Stream& s, const ConstView& x, std::int64_t code,
                       const View& least) override;
  [[nodiscard]] std::int64_t first_non_finite(Stream& s, const ConstView& x) override;

 private:
  std::unique_ptr<Workspace> workspace_;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<CudnnAttention> cudnn_attention_;
};

}  // namespace trireme::cuda
