// SPDX-License-Identifier: Apache-2.0
// Kernels: what a backend computes. Call kernels through the functions of ops/*.hpp, which
// state formulas and check arguments. Implementations rely on those checks.
#pragma once

#include "trireme/ops/types.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

namespace ops {

template <class... Operation>
struct List {};

/// Every operation: a struct of ops/*.hpp, whose fields are the arguments.
using Operations =
    List<struct Gemm, struct AccumulateRows, struct GemmActivation,
         struct GemmActivationBackward, struct AccumulateWeightGradient, struct NormForward,
         struct ResidualNormForward, struct NormBackward, struct Rotary, struct QkNormSums,
         struct QkNormForward, struct QkNormBackward, struct AttentionForward,
         struct AttentionBackward, struct CacheAppend, struct AttentionCached,
         struct ActivationForward, struct ActivationBackward, struct EmbeddingForward,
         struct EmbeddingBackward, struct PositionsForward, struct PositionsBackward,
         struct SoftmaxLocal, struct SoftmaxRescale, struct SoftmaxLoss, struct SoftmaxGradient,
         struct SoftmaxLossGradient, struct Add, struct Cast, struct Accumulate, struct Copy,
         struct Scale, struct Softcap, struct SoftcapGradient, struct ApplyDropout,
         struct AccumulateSquares, struct NoteNonFinite, struct Adamw, struct Sgd,
         struct ElementUpdate, struct Adam8bit, struct AdamMoments, struct LambSquares,
         struct LambUpdate, struct FactorSums, struct AdafactorMoments, struct AdafactorSquares,
         struct AdafactorUpdate, struct Sm3Cover, struct Sm3Update, struct MuonDirection,
         struct Normalize, struct ApplyDirection, struct DecideStep>;

}  // namespace ops

/// What a backend computes for one operation. Work is queued on the stream.
template <class Operation>
class Kernel {
 public:
  virtual void run(Stream& s, const Operation& op) = 0;

 protected:
  ~Kernel() = default;
};

template <class List>
class KernelsOf;

/// `run` for each operation of a list.
template <class... Operation>
class KernelsOf<ops::List<Operation...>> : public Kernel<Operation>... {
 public:
  using Kernel<Operation>::run...;

 protected:
  ~KernelsOf() = default;
};

class Kernels : public KernelsOf<ops::Operations> {
 public:
  virtual ~Kernels() = default;

  using KernelsOf::run;
  // Operations that a backend may fuse. These implementations run the steps one by one.
  void run(Stream& s, const ops::GemmActivation& op) override;
  void run(Stream& s, const ops::GemmActivationBackward& op) override;
  void run(Stream& s, const ops::AccumulateWeightGradient& op) override;
  void run(Stream& s, const ops::ResidualNormForward& op) override;
  void run(Stream& s, const ops::SoftmaxLossGradient& op) override;
  /// Throws Error: backends may lack this update.
  void run(Stream& s, const ops::Adam8bit& op) override;

  /// Returns the index of the first element that is inf or NaN, −1 if none. Waits for the
  /// stream.
  [[nodiscard]] virtual std::int64_t first_non_finite(Stream& s, const ConstView& x) = 0;
};

}  // namespace trireme
