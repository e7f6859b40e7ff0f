// SPDX-License-Identifier: Apache-2.0
// GEMMs with OpenBLAS, and column sums, the gradients of biases.
#include "trireme/backend/cpu.hpp"

#include "blas.hpp"
#include "gemm_few_rows.hpp"
#include "gemm_half.hpp"
#include "kernels.hpp"
#include "windows.hpp"

namespace trireme {

std::unique_ptr<Kernels> make_cpu_kernels() { return std::make_unique<cpu::CpuKernels>(); }

namespace cpu {

void CpuKernels::run(Stream&, const ops::Gemm& op) {
  if (op.c.count() == 0) return;
  if (has_few_rows(op)) return few_rows_gemm(op, scratch_);
  if (op.a.dtype() == DType::bf16 || op.a.dtype() == DType::f16) {
    return half_gemm(op, scratch_);
  }
  by_type(op.a.dtype(), [&]<class T>(T) {
    const std::int64_t k = op.op_a == Op::n ? op.a.cols() : op.a.rows();
    T* out = op.c.data<T>();
    T scale = static_cast<T>(op.beta);
    if (!op.bias.empty()) {
      const ConstRow<T> values(op.bias.data<T>(), op.c.cols());
      parallel_rows(op.c, [&](std::int64_t r) {
        Row<T> to(row_data<T>(op.c, r), op.c.cols());
        if (op.beta == 0) {
          to = values;  // c may hold NaN before
        } else {
          to = scale * to + values;
        }
      });
      scale = T{1};
    }
    blas(op.op_a, op.op_b, blas_int(op.c.rows()), blas_int(op.c.cols()), blas_int(k),
         op.a.data<T>(), leading(op.a), op.b.data<T>(), leading(op.b), scale, out,
         leading(op.c), static_cast<T>(op.alpha));
  });
}

void CpuKernels::run(Stream&, const ops::AccumulateRows& op) {
  by_type(op.x.dtype(), [&]<class T>(T) {
    // Threads share out columns: the order of additions doesn't depend on their number.
    parallel_for(op.x.cols(), op.x.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
      Source<T> from(op.x);
      Target<T> to(op.sum);
      Row<T> total = to.loaded(0, begin, end - begin);
      for (std::int64_t r = 0; r < op.x.rows(); ++r) total += from.row(r, begin, end - begin);
      to.store();
    });
  });
}

}  // namespace cpu
}  // namespace trireme
