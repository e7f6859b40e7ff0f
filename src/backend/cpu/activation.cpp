// SPDX-License-Identifier: Apache-2.0
// Activations and their derivatives, vectorised by Eigen.
#include <numbers>
#include <unsupported/Eigen/SpecialFunctions>

#include "kernels.hpp"
#include "windows.hpp"

namespace trireme::cpu {

namespace {

constexpr std::int64_t kChunk = 256;  // small enough for temporaries to stay in the L1 cache

template <class T>
using Chunk = Eigen::Array<T, 1, Eigen::Dynamic, Eigen::RowMajor, 1, kChunk>;

/// Value and derivative of one activation on a chunk. Gated kinds use their gate's activation.
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
    case Activation::gelu_tanh:
    case Activation::geglu_tanh: {
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

/// Calls f(row, first column, width) for all chunks of rows [begin, end) with `cols` columns.
template <class F>
void by_chunks(std::int64_t begin, std::int64_t end, std::int64_t cols, F&& f) {
  for (std::int64_t r = begin; r < end; ++r) {
    for (std::int64_t c = 0; c < cols; c += kChunk) f(r, c, std::min(kChunk, cols - c));
  }
}

}  // namespace

void CpuKernels::run(Stream&, const ops::ActivationForward& op) {
  by_type(op.x.dtype(), [&]<class T>(T) {
    parallel_for(op.y.rows(), op.y.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> in(op.x);
      Target<T> out(op.y);
      by_chunks(begin, end, op.y.cols(), [&](std::int64_t r, std::int64_t c, std::int64_t n) {
        Chunk<T> value;
        evaluate<T>(op.kind, in.row(r, c, n), value, nullptr);
        if (gated(op.kind)) {
          out.row(r, c, n) = value * in.row(r, op.y.cols() + c, n);
        } else {
          out.row(r, c, n) = value;
        }
        out.store();
      });
    });
  });
}

void CpuKernels::run(Stream&, const ops::ActivationBackward& op) {
  by_type(op.x.dtype(), [&]<class T>(T) {
    parallel_for(op.dy.rows(), op.dy.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> in(op.x);
      Source<T> gradient(op.dy);
      Target<T> out(op.dx);
      by_chunks(begin, end, op.dy.cols(), [&](std::int64_t r, std::int64_t c, std::int64_t n) {
        Chunk<T> value;
        Chunk<T> slope;
        evaluate<T>(op.kind, in.row(r, c, n), value, &slope);
        const ConstRow<T> g = gradient.row(r, c, n);
        if (gated(op.kind)) {
          const Chunk<T> up = in.row(r, op.dy.cols() + c, n);
          out.row(r, c, n) = g * slope * up;
          out.store();
          out.row(r, op.dy.cols() + c, n) = g * value;
        } else {
          out.row(r, c, n) = g * slope;
        }
        out.store();
      });
    });
  });
}

}  // namespace trireme::cpu
