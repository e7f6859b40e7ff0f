// SPDX-License-Identifier: Apache-2.0
// Matrix products by cuBLASLt, with what it can do to a product before it is stored.
#pragma once

#include <array>
#include <cublasLt.h>
#include <map>
#include <memory>

#include "trireme/backend/cuda.hpp"

namespace trireme::cuda {

class Workspace;

/// Which fused routes are taken; without them the parts run one after the other.
struct FusedProducts {
  bool activation = true;           ///< gelu_tanh and what it was applied to
  bool activation_backward = true;  ///< its gradient
  bool bias_gradient = true;        ///< with the weight's gradient
};
inline constexpr FusedProducts kFused;

/// c = op_a(a) op_b(b), or c += that. Row-major; all sizes at least 1.
struct Product {
  ConstView a;
  Op op_a = Op::n;
  ConstView b;
  Op op_b = Op::n;
  View c;
  bool accumulate = false;

  [[nodiscard]] std::int64_t inner() const { return op_a == Op::n ? a.cols() : a.rows(); }
};

/// What is done to a product on its way. `bias` and `aux` are of c's type.
struct Epilogue {
  cublasLtEpilogue_t kind = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;  ///< added to each row; or a column sum, overwritten
  View aux;              ///< GELU's argument: stored, or read by its gradient
};

/// Sums are taken in fp32 and rounded once. With the library's word for the algorithm a product
/// has the same bits in every run on GPUs of one kind: cuBLAS promises that for cublasLtMatmul
/// with a workspace of the caller's (cuBLAS, "Results Reproducibility"). With a timed search
/// another run may choose another algorithm, and last bits may differ.
class Gemm {
 public:
  /// Of the workspace: what cuBLAS recommends for compute capability 9.0. The other half is for
  /// the caller's scratch.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20U;

  Gemm(const Workspace& workspace, const CudaOptions& options);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// Queues it. False, and nothing is queued, where cuBLASLt has no algorithm for it.
  [[nodiscard]] bool try_run(cudaStream_t stream, const Product& p, const Epilogue& e);
  /// Throws Error where try_run() is false.
  void run(cudaStream_t stream, const Product& p);

 private:
  struct Plan;
  /// Sizes, strides, types, operations, epilogue and alignments.
  using Key = std::array<std::int64_t, 13>;
  struct Trial {
    cudaStream_t stream;
    const Product& product;
    void* to;
  };

  [[nodiscard]] static Key key_of(const Product& p, const Epilogue& e);
  [[nodiscard]] std::unique_ptr<Plan> make_plan(cudaStream_t stream, const Product& p,
                                                const Epilogue& e) const;
  [[nodiscard]] cublasStatus_t multiply(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                                        const Trial& trial) const;
  [[nodiscard]] std::size_t fastest(const Plan& plan, const Trial& trial) const;
  void search(Plan& plan, cudaStream_t stream, const Product& p) const;

  const Workspace& workspace_;
  bool allow_tf32_;
  bool autotune_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace trireme::cuda
