// SPDX-License-Identifier: Apache-2.0
// Activations and their derivatives, vectorised by Eigen.
#include <numbers>
#include <unsupported/Eigen/SpecialFunctions>

#include "kernels.hpp"
#include "parallel.hpp"

namespace trireme::cpu {

namespace {

constexpr std::int64_t kChunk = 256;  // temporaries of a chunk stay in the first-level cache

template <class T>
using Chunk = Eigen::Array<T, 1, Eigen::Dynamic, Eigen::RowMajor, 1, kChunk>;

/// Value and derivative of one activation on a chunk; gated kinds name their gate's activation.
template <class T>
void evaluate(Activation kind, const ConstRow<T>& x, Chunk<T>& value, Chunk<T>* slope) {
  const T half = static_cast<T>(0.5);
  const T one = static_cast<T>(1);
  switch (kind) {
    case Activation::gelu:
    case Activation::geglu: {
      const Chunk<T> cdf = half * (one + (x * static_cast<T>(1 / std::numbers::sqrt2)).erf());
      value = x * cdf;
      if (slope != nullptr) {
        const T norm = static_cast<T>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
        *slope = cdf + x * norm * (-half * x.square()).exp();
      }
      return;
    }
    case Activation::gelu_tanh: {
      const T k = static_cast<T>(std::numbers::sqrt2 * std::numbers::inv_sqrtpi);
      const T c = static_cast<T>(0.044715);
      const Chunk<T> t = (k * (x + c * x.cube())).tanh();
      value = half * x * (one + t);
      if (slope != nullptr) {
        *slope = half * (one + t) +
                 half * x * (one - t.square()) * k * (one + static_cast<T>(3) * c * x.square());
      }
      return;
    }
    case Activation::relu:
    case Activation::reglu:
      value = x.max(static_cast<T>(0));
      if (slope != nullptr) *slope = (x > static_cast<T>(0)).template cast<T>();
      return;
    case Activation::silu:
    case Activation::swiglu: {
      const Chunk<T> sigmoid = one / (one + (-x).exp());
      value = x * sigmoid;
      if (slope != nullptr) *slope = sigmoid * (one + x * (one - sigmoid));
      return;
    }
  }
}

/// f(row, first column, width) over all chunks of a [rows, cols] array.
template <class F>
void by_chunks(std::int64_t rows, std::int64_t cols, F&& f) {
  parallel_for(rows, cols, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t c = 0; c < cols; c += kChunk) f(r, c, std::min(kChunk, cols - c));
    }
  });
}

}  // namespace

void CpuKernels::activation_forward(Stream&, Activation kind, const ConstView& x,
                                    const View& y) {
  by_type(x.dtype(), [&]<class T>(T) {
    by_chunks(y.rows(), y.cols(), [&](std::int64_t r, std::int64_t c, std::int64_t n) {
      Chunk<T> value;
      const T* in = row_data<T>(x, r) + c;
      evaluate<T>(kind, ConstRow<T>(in, n), value, nullptr);
      Row<T> out(row_data<T>(y, r) + c, n);
      if (gated(kind)) {
        out = value * ConstRow<T>(in + y.cols(), n);
      } else {
        out = value;
      }
    });
  });
}

void CpuKernels::activation_backward(Stream&, Activation kind, const ConstView& x,
                                     const ConstView& dy, const View& dx) {
  by_type(x.dtype(), [&]<class T>(T) {
    by_chunks(dy.rows(), dy.cols(), [&](std::int64_t r, std::int64_t c, std::int64_t n) {
      Chunk<T> value;
      Chunk<T> slope;
      const T* in = row_data<T>(x, r) + c;
      T* out = row_data<T>(dx, r) + c;
      evaluate<T>(kind, ConstRow<T>(in, n), value, &slope);
      const ConstRow<T> g(row_data<T>(dy, r) + c, n);
      if (gated(kind)) {
        const Chunk<T> up = ConstRow<T>(in + dy.cols(), n);
        Row<T>(out, n) = g * slope * up;
        Row<T>(out + dy.cols(), n) = g * value;
      } else {
        Row<T>(out, n) = g * slope;
      }
    });
  });
}

}  // namespace trireme::cpu
