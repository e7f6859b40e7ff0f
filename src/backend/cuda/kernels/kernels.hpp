// SPDX-License-Identifier: Apache-2.0
// The GPU's Kernels. Formulas and contracts are in ops/*.hpp. Types: f32, bf16, f16; f64 only
// where ops/*.hpp names it.
#pragma once

#include <memory>

#include "trireme/backend/cuda.hpp"
#include "trireme/ops/activation.hpp"
#include "trireme/ops/attention.hpp"
#include "trireme/ops/cross_entropy.hpp"
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/embedding.hpp"
#include "trireme/ops/gemm.hpp"
#include "trireme/ops/norm.hpp"
#include "trireme/ops/qk_norm.hpp"
#include "trireme/ops/tensor_update.hpp"
#include "trireme/ops/update.hpp"

namespace trireme::cuda {

class CudnnAttention;  // attention/cudnn.hpp
class Gemm;            // gemm/gemm.hpp, with cuBLASLt
struct Tuning;         // runtime/tuning.hpp
class Workspace;       // runtime/workspace.hpp

class CudaKernels final : public Kernels {
 public:
  CudaKernels(Device& device, const CudaOptions& options);
  ~CudaKernels() override;
  CudaKernels(const CudaKernels&) = delete;
  CudaKernels& operator=(const CudaKernels&) = delete;

  using Kernels::run;
  void run(Stream& s, const ops::Gemm& op) override;
  void run(Stream& s, const ops::AccumulateRows& op) override;
  void run(Stream& s, const ops::GemmActivation& op) override;
  void run(Stream& s, const ops::GemmActivationBackward& op) override;
  void run(Stream& s, const ops::AccumulateWeightGradient& op) override;
  void run(Stream& s, const ops::NormForward& op) override;
  void run(Stream& s, const ops::ResidualNormForward& op) override;
  void run(Stream& s, const ops::NormBackward& op) override;
  void run(Stream& s, const ops::Rotary& op) override;
  void run(Stream& s, const ops::QkNormSums& op) override;
  void run(Stream& s, const ops::QkNormForward& op) override;
  void run(Stream& s, const ops::QkNormBackward& op) override;
  void run(Stream& s, const ops::AttentionForward& op) override;
  void run(Stream& s, const ops::AttentionBackward& op) override;
  void run(Stream& s, const ops::CacheAppend& op) override;
  void run(Stream& s, const ops::AttentionCached& op) override;
  void run(Stream& s, const ops::ActivationForward& op) override;
  void run(Stream& s, const ops::ActivationBackward& op) override;
  void run(Stream& s, const ops::EmbeddingForward& op) override;
  void run(Stream& s, const ops::EmbeddingBackward& op) override;
  void run(Stream& s, const ops::PositionsForward& op) override;
  void run(Stream& s, const ops::PositionsBackward& op) override;
  void run(Stream& s, const ops::SoftmaxLocal& op) override;
  void run(Stream& s, const ops::SoftmaxRescale& op) override;
  void run(Stream& s, const ops::SoftmaxLoss& op) override;
  void run(Stream& s, const ops::SoftmaxGradient& op) override;
  void run(Stream& s, const ops::SoftmaxLossGradient& op) override;
  void run(Stream& s, const ops::Add& op) override;
  void run(Stream& s, const ops::Cast& op) override;
  void run(Stream& s, const ops::Accumulate& op) override;
  void run(Stream& s, const ops::Copy& op) override;
  void run(Stream& s, const ops::Scale& op) override;
  void run(Stream& s, const ops::Softcap& op) override;
  void run(Stream& s, const ops::SoftcapGradient& op) override;
  void run(Stream& s, const ops::ApplyDropout& op) override;
  void run(Stream& s, const ops::AccumulateSquares& op) override;
  void run(Stream& s, const ops::NoteNonFinite& op) override;
  void run(Stream& s, const ops::Adamw& op) override;
  void run(Stream& s, const ops::Sgd& op) override;
  void run(Stream& s, const ops::ElementUpdate& op) override;
  void run(Stream& s, const ops::AdamMoments& op) override;
  void run(Stream& s, const ops::LambSquares& op) override;
  void run(Stream& s, const ops::LambUpdate& op) override;
  void run(Stream& s, const ops::FactorSums& op) override;
  void run(Stream& s, const ops::AdafactorMoments& op) override;
  void run(Stream& s, const ops::AdafactorSquares& op) override;
  void run(Stream& s, const ops::AdafactorUpdate& op) override;
  void run(Stream& s, const ops::Sm3Cover& op) override;
  void run(Stream& s, const ops::Sm3Update& op) override;
  void run(Stream& s, const ops::MuonDirection& op) override;
  void run(Stream& s, const ops::Normalize& op) override;
  void run(Stream& s, const ops::ApplyDirection& op) override;
  void run(Stream& s, const ops::DecideStep& op) override;
  [[nodiscard]] std::int64_t first_non_finite(Stream& s, const ConstView& x) override;

 private:
  std::unique_ptr<const Tuning> tuning_;
  std::unique_ptr<Workspace> workspace_;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<CudnnAttention> cudnn_attention_;
};

}  // namespace trireme::cuda
