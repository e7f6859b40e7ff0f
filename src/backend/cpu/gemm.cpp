// SPDX-License-Identifier: Apache-2.0
// Matrix products by OpenBLAS, and the column sums that are bias gradients.
#include <limits>

#include <cblas.h>

#include "trireme/backend/cpu.hpp"

#include "kernels.hpp"
#include "parallel.hpp"

namespace trireme {

std::unique_ptr<Kernels> make_cpu_kernels() { return std::make_unique<cpu::CpuKernels>(); }

namespace cpu {

namespace {

int blas_int(std::int64_t n) {
  TRM_CHECK(n <= std::numeric_limits<int>::max(), "a matrix extent of {} is too large for BLAS",
            n);
  return static_cast<int>(n);
}

/// BLAS refuses a leading dimension of 0, which a matrix without columns has.
int leading(const ConstView& v) { return blas_int(std::max<std::int64_t>(1, v.row_stride())); }

void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, const float* a, int lda,
          const float* b, int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1.0F, a, lda, b, ldb, beta, c, ldc);
}

void blas(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, const double* a, int lda,
          const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1.0, a, lda, b, ldb, beta, c, ldc);
}

}  // namespace

void CpuKernels::gemm(Stream&, const ConstView& a, Op op_a, const ConstView& b, Op op_b,
                      const View& c, double beta, const ConstView& bias) {
  if (c.count() == 0) return;
  by_type(a.dtype(), [&]<class T>(T) {
    const std::int64_t k = op_a == Op::n ? a.cols() : a.rows();
    T* out = c.data<T>();
    T scale = static_cast<T>(beta);
    if (!bias.empty()) {
      const ConstRow<T> values(bias.data<T>(), c.cols());
      parallel_rows(c, [&](std::int64_t r) {
        Row<T> to = row<T>(c, r);
        if (beta == 0) {
          to = values;  // what was there may be NaN
        } else {
          to = scale * to + values;
        }
      });
      scale = T{1};
    }
    blas(op_a == Op::n ? CblasNoTrans : CblasTrans, op_b == Op::n ? CblasNoTrans : CblasTrans,
         blas_int(c.rows()), blas_int(c.cols()), blas_int(k), a.data<T>(), leading(a),
         b.data<T>(), leading(b), scale, out, leading(c));
  });
}

void CpuKernels::accumulate_rows(Stream&, const ConstView& x, const View& sum) {
  by_type(x.dtype(), [&]<class T>(T) {
    T* total = sum.data<T>();
    // By columns: the order of additions doesn't depend on the number of threads.
    parallel_for(x.cols(), x.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
      Row<T> out(total + begin, end - begin);
      for (std::int64_t r = 0; r < x.rows(); ++r) {
        out += ConstRow<T>(row_data<T>(x, r) + begin, end - begin);
      }
    });
  });
}

}  // namespace cpu
}  // namespace trireme
