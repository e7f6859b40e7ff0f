// SPDX-License-Identifier: Apache-2.0
// GEMMs with OpenBLAS, and column sums, the gradients of biases.
#include "trireme/backend/cpu.hpp"

#include "blas.hpp"
#include "gemm_half.hpp"
#include "kernels.hpp"
#include "windows.hpp"

namespace trireme {

std::unique_ptr<Kernels> make_cpu_kernels() { return std::make_unique<cpu::CpuKernels>(); }

namespace cpu {

void CpuKernels::gemm(Stream&, const ConstView& a, Op op_a, const ConstView& b, Op op_b,
                      const View& c, double beta, const ConstView& bias) {
  if (c.count() == 0) return;
  if (a.dtype() == DType::bf16 || a.dtype() == DType::f16) {
    return half_gemm(a, op_a, b, op_b, c, beta, bias, scratch_);
  }
  by_type(a.dtype(), [&]<class T>(T) {
    const std::int64_t k = op_a == Op::n ? a.cols() : a.rows();
    T* out = c.data<T>();
    T scale = static_cast<T>(beta);
    if (!bias.empty()) {
      const ConstRow<T> values(bias.data<T>(), c.cols());
      parallel_rows(c, [&](std::int64_t r) {
        Row<T> to(row_data<T>(c, r), c.cols());
        if (beta == 0) {
          to = values;  // c may hold NaN before
        } else {
          to = scale * to + values;
        }
      });
      scale = T{1};
    }
    blas(op_a, op_b, blas_int(c.rows()), blas_int(c.cols()), blas_int(k), a.data<T>(),
         leading(a), b.data<T>(), leading(b), scale, out, leading(c));
  });
}

void CpuKernels::accumulate_rows(Stream&, const ConstView& x, const View& sum) {
  by_type(x.dtype(), [&]<class T>(T) {
    // Threads share out columns: the order of additions doesn't depend on their number.
    parallel_for(x.cols(), x.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
      Source<T> from(x);
      Target<T> to(sum);
      Row<T> total = to.loaded(0, begin, end - begin);
      for (std::int64_t r = 0; r < x.rows(); ++r) total += from.row(r, begin, end - begin);
      to.store();
    });
  });
}

}  // namespace cpu
}  // namespace trireme
