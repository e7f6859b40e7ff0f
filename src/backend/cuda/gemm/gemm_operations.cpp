// SPDX-License-Identifier: Apache-2.0
// GEMMs of Kernels: selects a fused epilogue, or separate kernels where cuBLASLt has none.
#include "../kernels/kernels.hpp"
#include "../runtime/check.hpp"
#include "../runtime/stream.hpp"
#include "../runtime/tuning.hpp"
#include "../runtime/workspace.hpp"
#include "bias_rows.hpp"
#include "gemm.hpp"

namespace trireme::cuda {

namespace {

/// cuBLAS's GELU is the tanh form with an approximate tanh, too inexact for fp32. Rows of the
/// argument must be multiples of 8 elements apart.
bool gelu_fits(Activation kind, const ConstView& before, const ConstView& gemm) {
  return kind == Activation::gelu_tanh && before.dtype() == gemm.dtype() &&
         before.dtype() != DType::f32 && before.row_stride() % 8 == 0;
}

}  // namespace

void CudaKernels::run(Stream& s, const ops::Gemm& op) {
  TRM_CHECK(op.beta == 0 || op.beta == 1, "a GEMM with beta {}", op.beta);
  if (op.c.count() == 0) return;
  cudaStream_t stream = native(s);
  GemmCall p{op.a, op.op_a, op.b, op.op_b, op.c, op.beta == 1, static_cast<float>(op.alpha)};
  const bool nothing = p.inner() == 0;
  const bool fused = !op.bias.empty() && !nothing && op.bias.dtype() == op.c.dtype();
  void* const values = const_cast<void*>(op.bias.raw());
  if (fused && gemm_->try_run(stream, p, {CUBLASLT_EPILOGUE_BIAS, values, {}})) return;
  if (!op.bias.empty()) {
    put_bias(stream, op.bias, op.c, p.accumulate);
    p.accumulate = true;
  }
  if (!nothing) {
    gemm_->run(stream, p);
  } else if (!p.accumulate) {
    const std::size_t element = size_of(op.c.dtype());
    TRM_CUDA(cudaMemset2DAsync(op.c.raw(),
                               static_cast<std::size_t>(op.c.row_stride()) * element, 0,
                               static_cast<std::size_t>(op.c.cols()) * element,
                               static_cast<std::size_t>(op.c.rows()), stream));
  }
}

void CudaKernels::run(Stream& s, const ops::GemmActivation& op) {
  if (tuning_->gelu_epilogue != 0 && gelu_fits(op.kind, op.before, op.y) && op.x.count() > 0 &&
      op.weight.count() > 0) {
    const GemmCall p{op.x, Op::n, op.weight, Op::t, op.y, false};
    const auto epilogue =
        op.bias.empty() ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    void* const values = op.bias.empty() ? nullptr : const_cast<void*>(op.bias.raw());
    if (gemm_->try_run(native(s), p, {epilogue, values, op.before})) return;
  }
  Kernels::run(s, op);
}

void CudaKernels::run(Stream& s, const ops::GemmActivationBackward& op) {
  if (tuning_->gelu_gradient_epilogue != 0 && gelu_fits(op.kind, op.before, op.dx) &&
      op.dy.count() > 0 && op.weight.count() > 0) {
    const GemmCall p{op.dy, Op::n, op.weight, Op::n, op.dx, false};
    const View aux(const_cast<void*>(op.before.raw()), op.before.dtype(), op.before.shape(),
                   op.before.row_stride());
    if (gemm_->try_run(native(s), p, {CUBLASLT_EPILOGUE_DGELU, nullptr, aux})) return;
  }
  Kernels::run(s, op);
}

void CudaKernels::run(Stream& s, const ops::AccumulateWeightGradient& op) {
  const bool fits = !op.dbias.empty() && op.dbias.dtype() == op.dweight.dtype() &&
                    op.dbias.bytes() <= Workspace::kBytes - Gemm::kWorkspaceBytes;
  if (tuning_->bias_gradient_epilogue != 0 && fits && op.dy.count() > 0 && op.x.count() > 0) {
    // BGRADB sums cuBLAS's second factor, dy, over the GEMM's inner dimension. BGRADB
    // overwrites its result: the sums go to scratch behind the GEMM's own, and are added from
    // scratch.
    void* const sums =
        static_cast<std::byte*>(workspace_->take(Workspace::kBytes)) + Gemm::kWorkspaceBytes;
    const GemmCall p{op.dy, Op::t, op.x, Op::n, op.dweight, true};
    if (gemm_->try_run(native(s), p, {CUBLASLT_EPILOGUE_BGRADB, sums, {}})) {
      run(s, ops::Accumulate{.x = {sums, op.dbias.dtype(), op.dbias.shape()}, .y = op.dbias});
      return;
    }
  }
  Kernels::run(s, op);
}

}  // namespace trireme::cuda
