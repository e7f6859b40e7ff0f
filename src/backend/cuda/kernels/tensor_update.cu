// SPDX-License-Identifier: Apache-2.0
// Updates that need sums over whole parameters. Sums have a fixed order.
#include "trireme/ops/tensor_rules.hpp"
#include "trireme/ops/tensor_update.hpp"

#include "../runtime/stream.hpp"
#include "../runtime/workspace.hpp"
#include "elements.cuh"
#include "kernels.hpp"

namespace trireme::cuda {

namespace {

struct MomentsJob {
  float b1, b2, c1, c2;
  AnyArray gradient, first, second;
  __device__ void operator()(std::int64_t i, const StepState* state) const {
    const float g = get(gradient, i) * static_cast<float>(state->factor);
    put(first, i, b1 * get(first, i) + c1 * g);
    put(second, i, b2 * get(second, i) + c2 * g * g);
  }
};

struct LambJob {
  ops::LambStep step;
  AnyArray value, first, second, copy;
  const double* sums;
  __device__ float direction(std::int64_t i, float now) const {
    return lamb_direction(now, get(first, i), get(second, i), static_cast<float>(step.epsilon),
                          static_cast<float>(step.weight_decay));
  }
  __device__ void operator()(std::int64_t i, const StepState* state) const {
    float now = get(value, i);
    now -= static_cast<float>(lamb_rate(step, *state, sums)) * direction(i, now);
    put(value, i, now);
    put(copy, i, now);
  }
  __device__ void operator()(std::int64_t i, const StepState& /*state*/, double& values,
                             double& updates) const {
    const double now = get(value, i);
    const double u = direction(i, static_cast<float>(now));
    values += now * now;
    updates += u * u;
  }
};

/// A slice of a matrix, and a value for each row and column.
struct Slice {
  std::int64_t first, columns;
  const double* rows;
  const double* cols;
  __device__ double row(std::int64_t i) const { return rows[(first + i) / columns]; }
  __device__ const double* col(std::int64_t i) const {
    return cols != nullptr ? cols + (first + i) % columns : nullptr;
  }
};

const double* doubles(const ConstView& v) { return v.empty() ? nullptr : v.data<double>(); }

struct AdafactorJob {
  ops::AdafactorStep step;
  Slice slice;
  AnyArray gradient, value, copy;
  const double* mean;
  const double* sums;
  __device__ double direction(std::int64_t i, const StepState& state) const {
    const double root = adafactor_root(slice.row(i), slice.col(i), *mean, step.epsilon);
    return static_cast<double>(get(gradient, i)) * state.factor / root;
  }
  __device__ void operator()(std::int64_t i, const StepState* state) const {
    const double rate = adafactor_rate(step, *state, sums);
    const double keep = 1 - step.lr * step.weight_decay;
    const auto now = static_cast<float>(get(value, i) * keep - rate * direction(i, *state));
    put(value, i, now);
    put(copy, i, now);
  }
  __device__ void operator()(std::int64_t i, const StepState& state, double& values,
                             double& updates) const {
    const double now = get(value, i);
    const double u = direction(i, state);
    values += now * now;
    updates += u * u;
  }
};

__global__ void __launch_bounds__(kElementThreads)
    mean_kernel(const double* from, std::int64_t n, double* to) {
  __shared__ double room[kMaxWarps];
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += kElementThreads) sum += from[i];
  sum = over_block(sum, room);
  if (threadIdx.x == 0) *to = n > 0 ? sum / static_cast<double>(n) : 0;
}

/// Sums of squares, or the largest covers, of an axis of a slice.
struct AxisJob {
  Slice slice;  ///< SM3's accumulators; unused by sums
  AnyArray gradient;
  std::int64_t count;
  double beta;
  bool covers;
  __device__ double merge(double a, double b) const { return covers ? fmax(a, b) : a + b; }
  __device__ double of(std::int64_t i, double factor) const {
    const double g = static_cast<double>(get(gradient, i)) * factor;
    return covers ? sm3_cover_of(slice.row(i), slice.col(i), g, beta) : g * g;
  }
};
struct Merge {
  bool covers;
  __device__ __forceinline__ double operator()(double a, double b) const {
    return covers ? fmax(a, b) : a + b;
  }
};

/// A thread block for each row that the slice touches.
__global__ void __launch_bounds__(kElementThreads)
    rows_kernel(AxisJob job, const StepState* state, double* rows) {
  __shared__ double room[kMaxWarps];
  if (state->updated == 0) return;
  const std::int64_t columns = job.slice.columns;
  const std::int64_t row = job.slice.first / columns + blockIdx.x;
  const std::int64_t begin = max(row * columns - job.slice.first, std::int64_t{0});
  const std::int64_t end = min((row + 1) * columns - job.slice.first, job.count);
  double sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kElementThreads) {
    sum = job.merge(sum, job.of(i, state->factor));
  }
  sum = over_block(sum, room, 0.0, Merge{job.covers});
  if (threadIdx.x == 0) rows[row] = job.merge(rows[row], sum);
}

/// A thread for each column.
__global__ void __launch_bounds__(kElementThreads)
    cols_kernel(AxisJob job, const StepState* state, double* cols) {
  if (state->updated == 0) return;
  const std::int64_t columns = job.slice.columns;
  const std::int64_t col =
      static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (col >= columns) return;
  const std::int64_t offset = job.slice.first % columns;
  double sum = cols[col];
  for (std::int64_t i = (col - offset + columns) % columns; i < job.count; i += columns) {
    sum = job.merge(sum, job.of(i, state->factor));
  }
  cols[col] = sum;
}

void run_axes(cudaStream_t stream, const AxisJob& job, const ConstView& state, const View& rows,
              const View& cols) {
  if (job.count == 0) return;
  const std::int64_t columns = job.slice.columns;
  const std::int64_t touched =
      (job.slice.first + job.count - 1) / columns - job.slice.first / columns + 1;
  launch(rows_kernel, dim3(static_cast<unsigned>(touched)), dim3(kElementThreads), 0, stream,
         job, decided(state), rows.data<double>());
  if (cols.empty()) return;
  launch(cols_kernel,
         dim3(static_cast<unsigned>((columns + kElementThreads - 1) / kElementThreads)),
         dim3(kElementThreads), 0, stream, job, decided(state), cols.data<double>());
}

struct AverageJob {
  double beta2_decay;
  double elements;
  const double* sums;
  double* var;
  __device__ void operator()(std::int64_t i, const StepState* state) const {
    const double weight = pow(state->updates, beta2_decay);
    var[i] += weight * (sums[i] / elements - var[i]);
  }
};

struct Sm3Job {
  double lr, beta, momentum, epsilon;
  Slice slice;
  AnyArray gradient, value, buffer, copy;
  __device__ void operator()(std::int64_t i, const StepState* state) const {
    const double g = static_cast<double>(get(gradient, i)) * state->factor;
    double u = g / sqrt(sm3_cover_of(slice.row(i), slice.col(i), g, beta) + epsilon);
    if (buffer.data != nullptr) {
      u = momentum * get(buffer, i) + (1 - momentum) * u;
      put(buffer, i, static_cast<float>(u));
    }
    const auto now = static_cast<float>(get(value, i) - lr * u);
    put(value, i, now);
    put(copy, i, now);
  }
};

struct MuonJob {
  float momentum, rest;
  AnyArray gradient, buffer, direction;
  const StepState* state;
  __device__ void operator()(std::int64_t i, const StepState* /*none*/) const {
    if (state->updated == 0) return put(direction, i, 0);
    const float g = get(gradient, i) * static_cast<float>(state->factor);
    const float old = get(buffer, i);
    const float b = old + rest * (g - old);
    put(buffer, i, b);
    put(direction, i, g + momentum * (b - g));
  }
};

struct NormalizeJob {
  const double* squares;
  double epsilon;
  std::int64_t columns, from_stride, to_stride;
  AnyArray from, to;
  __device__ void operator()(std::int64_t i, const StepState* /*none*/) const {
    const std::int64_t row = i / columns;
    const std::int64_t col = i % columns;
    const auto factor = static_cast<float>(1 / (sqrt(*squares) + epsilon));
    put(to, row * to_stride + col, get(from, row * from_stride + col) * factor);
  }
};

struct DirectionJob {
  float keep, rate;
  AnyArray direction, value, copy;
  __device__ void operator()(std::int64_t i, const StepState* /*state*/) const {
    const float now = keep * get(value, i) - rate * get(direction, i);
    put(value, i, now);
    put(copy, i, now);
  }
};

}  // namespace

void CudaKernels::run(Stream& s, const ops::AdamMoments& op) {
  each_element(native(s), op.gradient.count(), decided(op.state),
               MomentsJob{static_cast<float>(op.beta1), static_cast<float>(op.beta2),
                          static_cast<float>(1 - op.beta1), static_cast<float>(1 - op.beta2),
                          any(op.gradient), any(op.exp_avg), any(op.exp_avg_sq)});
}

void CudaKernels::run(Stream& s, const ops::LambSquares& op) {
  add_pairs(native(s), *workspace_, op.value.count(), op.state, op.sums,
            LambJob{op.step, any(op.value), any(op.exp_avg), any(op.exp_avg_sq), {}, nullptr});
}

void CudaKernels::run(Stream& s, const ops::LambUpdate& op) {
  each_element(native(s), op.value.count(), decided(op.state),
               LambJob{op.step, any(op.value), any(op.exp_avg), any(op.exp_avg_sq),
                       any(op.copy), op.sums.data<double>()});
}

void CudaKernels::run(Stream& s, const ops::FactorSums& op) {
  run_axes(native(s),
           AxisJob{{op.first, op.columns, nullptr, nullptr},
                   any(op.gradient),
                   op.gradient.count(),
                   0,
                   false},
           op.state, op.rows, op.cols);
}

void CudaKernels::run(Stream& s, const ops::AdafactorMoments& op) {
  each_element(native(s), op.row_var.count(), decided(op.state),
               AverageJob{op.beta2_decay, static_cast<double>(op.global_columns),
                          op.row_sums.data<double>(), op.row_var.data<double>()});
  if (op.col_var.empty()) return;
  each_element(native(s), op.col_var.count(), decided(op.state),
               AverageJob{op.beta2_decay, static_cast<double>(op.global_rows),
                          op.col_sums.data<double>(), op.col_var.data<double>()});
}

void CudaKernels::run(Stream& s, const ops::AdafactorSquares& op) {
  auto* const room =
      static_cast<double*>(workspace_->take((2 * kElementBlocks + 1) * sizeof(double)));
  double* const mean = room + 2 * kElementBlocks;  // behind what add_pairs() takes
  const ConstView from = op.mean_of_cols && !op.col_var.empty() ? op.col_var : op.row_var;
  launch(mean_kernel, dim3(1), dim3(kElementThreads), 0, native(s), doubles(from), from.count(),
         mean);
  add_pairs(native(s), *workspace_, op.value.count(), op.state, op.sums,
            AdafactorJob{op.step,
                         {op.first, op.columns, doubles(op.row_var), doubles(op.col_var)},
                         any(op.gradient),
                         any(op.value),
                         {},
                         mean,
                         nullptr});
}

void CudaKernels::run(Stream& s, const ops::AdafactorUpdate& op) {
  auto* const mean = static_cast<double*>(workspace_->take(sizeof(double)));
  const ConstView from = op.mean_of_cols && !op.col_var.empty() ? op.col_var : op.row_var;
  launch(mean_kernel, dim3(1), dim3(kElementThreads), 0, native(s), doubles(from), from.count(),
         mean);
  each_element(native(s), op.value.count(), decided(op.state),
               AdafactorJob{op.step,
                            {op.first, op.columns, doubles(op.row_var), doubles(op.col_var)},
                            any(op.gradient),
                            any(op.value),
                            any(op.copy),
                            mean,
                            op.sums.data<double>()});
}

void CudaKernels::run(Stream& s, const ops::Sm3Cover& op) {
  run_axes(native(s),
           AxisJob{{op.first, op.columns, doubles(op.row_acc), doubles(op.col_acc)},
                   any(op.gradient),
                   op.gradient.count(),
                   op.beta,
                   true},
           op.state, op.rows, op.cols);
}

void CudaKernels::run(Stream& s, const ops::Sm3Update& op) {
  each_element(native(s), op.value.count(), decided(op.state),
               Sm3Job{op.lr,
                      op.beta,
                      op.momentum,
                      op.epsilon,
                      {op.first, op.columns, doubles(op.row_acc), doubles(op.col_acc)},
                      any(op.gradient),
                      any(op.value),
                      any(op.buffer),
                      any(op.copy)});
}

void CudaKernels::run(Stream& s, const ops::MuonDirection& op) {
  each_element(native(s), op.direction.count(), nullptr,
               MuonJob{static_cast<float>(op.momentum), static_cast<float>(1 - op.momentum),
                       any(op.gradient), any(op.buffer), any(op.direction), decided(op.state)});
}

void CudaKernels::run(Stream& s, const ops::Normalize& op) {
  each_element(native(s), op.x.count(), nullptr,
               NormalizeJob{op.squares.data<double>(), op.epsilon, op.x.cols(),
                            op.x.row_stride(), op.y.row_stride(), any(op.x), any(op.y)});
}

void CudaKernels::run(Stream& s, const ops::ApplyDirection& op) {
  each_element(native(s), op.value.count(), decided(op.state),
               DirectionJob{static_cast<float>(1 - op.decay), static_cast<float>(op.rate),
                            any(op.direction), any(op.value), any(op.copy)});
}

}  // namespace trireme::cuda
