// SPDX-License-Identifier: Apache-2.0
// GEMMs with cuBLASLt, including fused epilogues.
#pragma once

#include <array>
#include <cublasLt.h>
#include <map>
#include <memory>

#include "trireme/backend/cuda.hpp"

#include "../runtime/tuning.hpp"

namespace trireme::cuda {

class Workspace;

/// c = alpha op_a(a) op_b(b), or c += alpha op_a(a) op_b(b). Row-major; all sizes are at
/// least 1.
struct GemmCall {
  ConstView a;
  Op op_a = Op::n;
  ConstView b;
  Op op_b = Op::n;
  View c;
  bool accumulate = false;
  float alpha = 1;

  [[nodiscard]] std::int64_t inner() const { return op_a == Op::n ? a.cols() : a.rows(); }
};

/// What is done to a result before it is stored. `bias` and `aux` have c's type.
struct Epilogue {
  cublasLtEpilogue_t kind = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;  ///< added to each row; or column sums, overwritten
  View aux;              ///< GELU's argument: stored, or read by its gradient
};

/// Sums are in fp32 and rounded once. With the heuristic's algorithm, a GEMM has the same bits
/// in every run on GPUs of one kind. Results of cublasLtMatmul are reproducible with a
/// workspace of the caller (cuBLAS, "Results Reproducibility"). A timed search may choose
/// another algorithm in another run, which may change the last bits.
class Gemm {
 public:
  /// The share of the workspace that cuBLAS recommends for compute capability 9.0. The rest is
  /// for the caller's scratch.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20U;

  Gemm(const Workspace& workspace, const CudaOptions& options, const Tuning& tuning);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// Queues a GEMM. Returns false, without queuing work, if cuBLASLt has no algorithm for it.
  [[nodiscard]] bool try_run(cudaStream_t stream, const GemmCall& p, const Epilogue& e);
  /// Queues a GEMM. Throws Error if try_run() returns false.
  void run(cudaStream_t stream, const GemmCall& p);

 private:
  struct Plan;
  /// A GEMM's sizes, strides, types, operations, epilogue and alignments.
  using Key = std::array<std::int64_t, 13>;
  struct Trial {
    cudaStream_t stream;
    const GemmCall& gemm;
    void* to;
  };

  [[nodiscard]] static Key key_of(const GemmCall& p, const Epilogue& e);
  [[nodiscard]] std::unique_ptr<Plan> make_plan(cudaStream_t stream, const GemmCall& p,
                                                const Epilogue& e) const;
  [[nodiscard]] cublasStatus_t multiply(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                                        const Trial& trial) const;
  [[nodiscard]] std::size_t fastest(const Plan& plan, const Trial& trial) const;
  void search(Plan& plan, cudaStream_t stream, const GemmCall& p) const;

  const Workspace& workspace_;
  bool allow_tf32_;
  bool autotune_;
  Tuning tuning_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace trireme::cuda
