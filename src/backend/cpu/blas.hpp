// SPDX-License-Identifier: Apache-2.0
// Calls OpenBLAS's GEMM for float and double.
#pragma once

#include <limits>

#include <cblas.h>

#include "trireme/ops/types.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme::cpu {

inline int blas_int(std::int64_t n) {
  TRM_CHECK(n <= std::numeric_limits<int>::max(), "a matrix extent of {} is too large for BLAS",
            n);
  return static_cast<int>(n);
}

/// BLAS refuses a leading dimension of 0, which a matrix without columns has.
inline int leading(const ConstView& v) {
  return blas_int(std::max<std::int64_t>(1, v.row_stride()));
}

inline CBLAS_TRANSPOSE blas_op(Op op) { return op == Op::n ? CblasNoTrans : CblasTrans; }

inline void blas(Op op_a, Op op_b, int m, int n, int k, const float* a, int lda, const float* b,
                 int ldb, float beta, float* c, int ldc, float alpha) {
  cblas_sgemm(CblasRowMajor, blas_op(op_a), blas_op(op_b), m, n, k, alpha, a, lda, b, ldb, beta,
              c, ldc);
}

inline void blas(Op op_a, Op op_b, int m, int n, int k, const double* a, int lda,
                 const double* b, int ldb, double beta, double* c, int ldc, double alpha) {
  cblas_dgemm(CblasRowMajor, blas_op(op_a), blas_op(op_b), m, n, k, alpha, a, lda, b, ldb, beta,
              c, ldc);
}

}  // namespace trireme::cpu
