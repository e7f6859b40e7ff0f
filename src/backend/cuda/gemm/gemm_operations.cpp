// SPDX-License-Identifier: Apache-2.0
// GEMMs of Kernels: selects a fused epilogue, or separate kernels where cuBLASLt has none.
#include "../kernels/kernels.hpp"
#include "../runtime/check.hpp"
#include "../runtime/stream.hpp"
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

void CudaKernels::gemm(Stream& s, const ConstView& a, Op op_a, const ConstView& b, Op op_b,
                       const View& c, double beta, const ConstView& bias) {
  TRM_CHECK(beta == 0 || beta == 1, "a GEMM with beta {}", beta);
  if (c.count() == 0) return;
  cudaStream_t stream = native(s);
  GemmCall p{a, op_a, b, op_b, c, beta == 1};
  const bool nothing = p.inner() == 0;
  const bool fused = !bias.empty() && !nothing && bias.dtype() == c.dtype();
  void* const values = const_cast<void*>(bias.raw());
  if (fused && gemm_->try_run(stream, p, {CUBLASLT_EPILOGUE_BIAS, values, {}})) return;
  if (!bias.empty()) {
    put_bias(stream, bias, c, p.accumulate);
    p.accumulate = true;
  }
  if (!nothing) {
    gemm_->run(stream, p);
  } else if (!p.accumulate) {
    const std::size_t element = size_of(c.dtype());
    TRM_CUDA(cudaMemset2DAsync(c.raw(), static_cast<std::size_t>(c.row_stride()) * element, 0,
                               static_cast<std::size_t>(c.cols()) * element,
                               static_cast<std::size_t>(c.rows()), stream));
  }
}

void CudaKernels::gemm_activation(Stream& s, const ConstView& x, const ConstView& weight,
                                  const ConstView& bias, Activation kind, const View& before,
                                  const View& y) {
  if (kFused.activation && gelu_fits(kind, before, y) && x.count() > 0 && weight.count() > 0) {
    const GemmCall p{x, Op::n, weight, Op::t, y, false};
    const auto epilogue =
        bias.empty() ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    void* const values = bias.empty() ? nullptr : const_cast<void*>(bias.raw());
    if (gemm_->try_run(native(s), p, {epilogue, values, before})) return;
  }
  Kernels::gemm_activation(s, x, weight, bias, kind, before, y);
}

void CudaKernels::gemm_activation_backward(Stream& s, const ConstView& dy,
                                           const ConstView& weight, Activation kind,
                                           const ConstView& before, const View& dx) {
  if (kFused.activation_backward && gelu_fits(kind, before, dx) && dy.count() > 0 &&
      weight.count() > 0) {
    const GemmCall p{dy, Op::n, weight, Op::n, dx, false};
    const View aux(const_cast<void*>(before.raw()), before.dtype(), before.shape(),
                   before.row_stride());
    if (gemm_->try_run(native(s), p, {CUBLASLT_EPILOGUE_DGELU, nullptr, aux})) return;
  }
  Kernels::gemm_activation_backward(s, dy, weight, kind, before, dx);
}

void CudaKernels::accumulate_weight_gradient(Stream& s, const ConstView& dy, const ConstView& x,
                                             const View& dweight, const View& dbias) {
  const bool fits = !dbias.empty() && dbias.dtype() == dweight.dtype() &&
                    dbias.bytes() <= Workspace::kBytes - Gemm::kWorkspaceBytes;
  if (kFused.bias_gradient && fits && dy.count() > 0 && x.count() > 0) {
    // BGRADB sums cuBLAS's second factor, dy, over the GEMM's inner dimension. BGRADB
    // overwrites its result: the sums go to scratch behind the GEMM's own, and are added from
    // scratch.
    void* const sums =
        static_cast<std::byte*>(workspace_->take(Workspace::kBytes)) + Gemm::kWorkspaceBytes;
    const GemmCall p{dy, Op::t, x, Op::n, dweight, true};
    if (gemm_->try_run(native(s), p, {CUBLASLT_EPILOGUE_BGRADB, sums, {}})) {
      accumulate(s, ConstView(sums, dbias.dtype(), dbias.shape()), dbias);
      return;
    }
  }
  Kernels::accumulate_weight_gradient(s, dy, x, dweight, dbias);
}

}  // namespace trireme::cuda
