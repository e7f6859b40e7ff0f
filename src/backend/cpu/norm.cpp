// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm, one row at a time. Gradients of weights are computed by columns.
#include "kernels.hpp"
#include "windows.hpp"

namespace trireme::cpu {

template <class T>
using Values = Eigen::Array<T, 1, Eigen::Dynamic>;

void CpuKernels::run(Stream&, const ops::NormForward& op) {
  by_type(op.x.dtype(), [&]<class T>(T) {
    Source<T> weights(op.weight);
    Source<T> biases(op.bias);
    const Values<T> w = weights.row(0, 0, op.x.cols()) + static_cast<T>(op.weight_offset);
    const ConstRow<T> b =
        op.bias.empty() ? ConstRow<T>(nullptr, 0) : biases.row(0, 0, op.x.cols());
    const T n = static_cast<T>(op.x.cols());
    parallel_for(op.x.rows(), op.x.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> from(op.x);
      Target<T> to(op.y);
      for (std::int64_t r = begin; r < end; ++r) {
        const ConstRow<T> in = from.row(r);
        const T mean = op.kind == Norm::layernorm ? in.sum() / n : T{0};
        const T variance = (in - mean).square().sum() / n;
        const T rstd = T{1} / std::sqrt(variance + static_cast<T>(op.epsilon));
        Row<T> out = to.row(r);
        if (b.size() == 0) {
          out = (in - mean) * rstd * w;
        } else {
          out = (in - mean) * rstd * w + b;
        }
        to.store();
        T* kept = row_data<T>(op.statistics, r);
        kept[0] = mean;
        kept[1] = rstd;
      }
    });
  });
}

namespace {

/// Adds up columns [begin, end) of the weights' gradients. One thread owns each column.
template <class T>
void add_weight_gradients(const ConstView& dy, const ConstView& x, const ConstView& statistics,
                          const View& dweight, const View& dbias, std::int64_t begin,
                          std::int64_t end) {
  const std::int64_t width = end - begin;
  Source<T> gradients(dy);
  Source<T> inputs(x);
  Target<T> weights(dweight);
  Target<T> biases(dbias);
  Row<T> dw = weights.loaded(0, begin, width);
  Row<T> db = dbias.empty() ? Row<T>(nullptr, 0) : biases.loaded(0, begin, width);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const T* kept = row_data<T>(statistics, r);
    const ConstRow<T> g = gradients.row(r, begin, width);
    dw += g * (inputs.row(r, begin, width) - kept[0]) * kept[1];
    if (db.size() > 0) db += g;
  }
  weights.store();
  if (db.size() > 0) biases.store();
}

}  // namespace

void CpuKernels::run(Stream&, const ops::NormBackward& op) {
  by_type(op.x.dtype(), [&]<class T>(T) {
    // dx may share memory with `add`, but never with x or dy.
    parallel_for(op.x.cols(), op.x.rows(), 16, [&](std::int64_t begin, std::int64_t end) {
      add_weight_gradients<T>(op.dy, op.x, op.statistics, op.dweight, op.dbias, begin, end);
    });
    Source<T> weights(op.weight);
    const Values<T> w = weights.row(0, 0, op.x.cols()) + static_cast<T>(op.weight_offset);
    const T n = static_cast<T>(op.x.cols());
    parallel_for(op.x.rows(), op.x.cols(), 1, [&](std::int64_t begin, std::int64_t end) {
      Source<T> inputs(op.x);
      Source<T> gradients(op.dy);
      Source<T> adds(op.add);
      Target<T> to(op.dx);
      for (std::int64_t r = begin; r < end; ++r) {
        const T* kept = row_data<T>(op.statistics, r);
        const T mean = kept[0];
        const T rstd = kept[1];
        const ConstRow<T> in = inputs.row(r);
        const ConstRow<T> g = gradients.row(r);
        const T a = op.kind == Norm::layernorm ? (g * w).sum() / n : T{0};
        const T b = (g * w * (in - mean)).sum() * rstd / n;
        Row<T> out = to.row(r);
        if (op.add.empty()) {
          out = (g * w - a - (in - mean) * (rstd * b)) * rstd;
        } else {
          out = adds.row(r) + (g * w - a - (in - mean) * (rstd * b)) * rstd;
        }
        to.store();
      }
    });
  });
}

}  // namespace trireme::cpu
