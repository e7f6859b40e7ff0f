// SPDX-License-Identifier: Apache-2.0
// Updates that need sums over whole parameters. Pieces are fixed and summed in order, which
// gives equal bits for any number of threads.
#include "trireme/ops/tensor_update.hpp"

#include <cmath>

#include "trireme/ops/tensor_rules.hpp"

#include "kernels.hpp"
#include "update.hpp"
#include "windows.hpp"

namespace trireme::cpu {

namespace {

/// Adds the two sums of each piece to `sums`. make() returns a function of (column, width,
/// two sums).
template <class F>
void add_pairs(const ConstView& x, const View& sums, F&& make) {
  const ConstView all = flat(x);
  const std::int64_t pieces = (all.count() + kPiece - 1) / kPiece;
  Eigen::Array2Xd parts = Eigen::Array2Xd::Zero(2, pieces);
  by_pieces(all, [&] {
    return [&, each = make()](std::int64_t /*r*/, std::int64_t c, std::int64_t n) mutable {
      double* part = parts.data() + 2 * (c / kPiece);
      each(c, n, part[0], part[1]);
    };
  });
  auto* to = sums.data<double>();
  to[0] += parts.row(0).sum();
  to[1] += parts.row(1).sum();
}

/// Rows and columns of the elements of a slice.
struct Walk {
  std::int64_t row;
  std::int64_t col;
  std::int64_t columns;
  Walk(std::int64_t at, std::int64_t width)
      : row(at / width), col(at % width), columns(width) {}
  void next() {
    if (++col == columns) {
      col = 0;
      ++row;
    }
  }
};

/// Calls f(row, column, gradient) for each element, in order. One thread keeps the order of
/// sums; these reads are few beside those of a step.
template <class F>
void each_gradient(const ConstView& gradient, std::int64_t first, std::int64_t columns,
                   double factor, F&& f) {
  by_type(gradient.dtype(), [&]<class T>(T) {
    Source<T> from(flat(gradient));
    Walk at(first, columns);
    const std::int64_t count = gradient.count();
    for (std::int64_t c = 0; c < count; c += kPiece) {
      const std::int64_t n = std::min(kPiece, count - c);
      const T* part = from.row(0, c, n).data();
      for (std::int64_t i = 0; i < n; ++i, at.next()) {
        f(at.row, at.col, static_cast<double>(part[i]) * factor);
      }
    }
  });
}

double mean_of(const ConstView& rows, const ConstView& cols, bool of_cols) {
  if (cols.empty()) return 0;
  const ConstView& from = of_cols ? cols : rows;
  return Eigen::Map<const Eigen::ArrayXd>(from.data<double>(), from.count()).mean();
}

const double* at_col(const ConstView& cols, std::int64_t col) {
  return cols.empty() ? nullptr : cols.data<double>() + col;
}

}  // namespace

void CpuKernels::run(Stream&, const ops::AdamMoments& op) {
  const StepState& decided = *decision(op.state);
  if (decided.updated == 0) return;
  by_type(op.exp_avg.dtype() == DType::f64 ? DType::f64 : DType::f32, [&]<class T>(T) {
    const T b1 = static_cast<T>(op.beta1);
    const T b2 = static_cast<T>(op.beta2);
    const T c1 = static_cast<T>(1 - op.beta1);
    const T c2 = static_cast<T>(1 - op.beta2);
    const T scale = static_cast<T>(decided.factor);
    by_pieces(flat(op.gradient), [&] {
      return [&, grad = Source<T>(flat(op.gradient)), first = Target<T>(flat(op.exp_avg)),
              second = Target<T>(flat(op.exp_avg_sq))](std::int64_t r, std::int64_t c,
                                                       std::int64_t n) mutable {
        const T* gradient = grad.row(r, c, n).data();
        T* m = first.loaded(r, c, n).data();
        T* v = second.loaded(r, c, n).data();
        for (std::int64_t i = 0; i < n; ++i) {
          const T g = gradient[i] * scale;
          m[i] = b1 * m[i] + c1 * g;
          v[i] = b2 * v[i] + c2 * g * g;
        }
        first.store();
        second.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::LambSquares& op) {
  if (decision(op.state)->updated == 0) return;
  by_type(op.value.dtype(), [&]<class T>(T) {
    const T epsilon = static_cast<T>(op.step.epsilon);
    const T decay = static_cast<T>(op.step.weight_decay);
    add_pairs(op.value, op.sums, [&] {
      return [&, theta = Source<T>(flat(op.value)), first = Source<T>(flat(op.exp_avg)),
              second = Source<T>(flat(op.exp_avg_sq))](
                 std::int64_t c, std::int64_t n, double& values, double& updates) mutable {
        const T* now = theta.row(0, c, n).data();
        const T* m = first.row(0, c, n).data();
        const T* v = second.row(0, c, n).data();
        for (std::int64_t i = 0; i < n; ++i) {
          const double u = lamb_direction(now[i], m[i], v[i], epsilon, decay);
          values += static_cast<double>(now[i]) * now[i];
          updates += u * u;
        }
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::LambUpdate& op) {
  const StepState& decided = *decision(op.state);
  if (decided.updated == 0) return;
  by_type(op.value.dtype(), [&]<class T>(T) {
    const T rate = static_cast<T>(lamb_rate(op.step, decided, op.sums.data<double>()));
    const T epsilon = static_cast<T>(op.step.epsilon);
    const T decay = static_cast<T>(op.step.weight_decay);
    by_pieces(flat(op.value), [&] {
      return [&, theta = Target<T>(flat(op.value)), first = Source<T>(flat(op.exp_avg)),
              second = Source<T>(flat(op.exp_avg_sq)),
              copied = flat(op.copy)](std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        T* now = theta.loaded(r, c, n).data();
        const T* m = first.row(r, c, n).data();
        const T* v = second.row(r, c, n).data();
        for (std::int64_t i = 0; i < n; ++i) {
          now[i] -= rate * lamb_direction(now[i], m[i], v[i], epsilon, decay);
        }
        if (!copied.empty()) copy_out(now, copied, r, c, n);
        theta.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::FactorSums& op) {
  const StepState& decided = *decision(op.state);
  if (decided.updated == 0) return;
  auto* rows = op.rows.data<double>();
  double* cols = op.cols.empty() ? nullptr : op.cols.data<double>();
  each_gradient(op.gradient, op.first, op.columns, decided.factor,
                [&](std::int64_t row, std::int64_t col, double g) {
                  rows[row] += g * g;
                  if (cols != nullptr) cols[col] += g * g;
                });
}

void CpuKernels::run(Stream&, const ops::AdafactorMoments& op) {
  const StepState& decided = *decision(op.state);
  if (decided.updated == 0) return;
  const double weight = std::pow(decided.updates, op.beta2_decay);
  const auto average = [&](const ConstView& sums, const View& var, std::int64_t elements) {
    const auto* from = sums.data<double>();
    auto* to = var.data<double>();
    for (std::int64_t i = 0; i < var.count(); ++i) {
      to[i] += weight * (from[i] / static_cast<double>(elements) - to[i]);
    }
  };
  average(op.row_sums, op.row_var, op.global_columns);
  if (!op.col_var.empty()) average(op.col_sums, op.col_var, op.global_rows);
}

void CpuKernels::run(Stream&, const ops::AdafactorSquares& op) {
  const StepState& decided = *decision(op.state);
  if (decided.updated == 0) return;
  const double mean = mean_of(op.row_var, op.col_var, op.mean_of_cols);
  by_type(op.value.dtype(), [&]<class T>(T) {
    add_pairs(op.value, op.sums, [&] {
      return [&, theta = Source<T>(flat(op.value)), grad = Source<T>(flat(op.gradient))](
                 std::int64_t c, std::int64_t n, double& values, double& updates) mutable {
        const T* now = theta.row(0, c, n).data();
        const T* g = grad.row(0, c, n).data();
        Walk at(op.first + c, op.columns);
        for (std::int64_t i = 0; i < n; ++i, at.next()) {
          const double root = adafactor_root(op.row_var.data<double>()[at.row],
                                             at_col(op.col_var, at.col), mean, op.step.epsilon);
          const double u = static_cast<double>(g[i]) * decided.factor / root;
          values += static_cast<double>(now[i]) * now[i];
          updates += u * u;
        }
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::AdafactorUpdate& op) {
  const StepState& decided = *decision(op.state);
  if (decided.updated == 0) return;
  const double mean = mean_of(op.row_var, op.col_var, op.mean_of_cols);
  const double rate = adafactor_rate(op.step, decided, op.sums.data<double>());
  const double keep = 1 - op.step.lr * op.step.weight_decay;
  by_type(op.value.dtype(), [&]<class T>(T) {
    by_pieces(flat(op.value), [&] {
      return [&, theta = Target<T>(flat(op.value)), grad = Source<T>(flat(op.gradient)),
              copied = flat(op.copy)](std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        T* now = theta.loaded(r, c, n).data();
        const T* g = grad.row(r, c, n).data();
        Walk at(op.first + c, op.columns);
        for (std::int64_t i = 0; i < n; ++i, at.next()) {
          const double root = adafactor_root(op.row_var.data<double>()[at.row],
                                             at_col(op.col_var, at.col), mean, op.step.epsilon);
          const double u = static_cast<double>(g[i]) * decided.factor / root;
          now[i] = static_cast<T>(now[i] * keep - rate * u);
        }
        if (!copied.empty()) copy_out(now, copied, r, c, n);
        theta.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::Sm3Cover& op) {
  const StepState& decided = *decision(op.state);
  if (decided.updated == 0) return;
  auto* rows = op.rows.data<double>();
  double* cols = op.cols.empty() ? nullptr : op.cols.data<double>();
  each_gradient(op.gradient, op.first, op.columns, decided.factor,
                [&](std::int64_t row, std::int64_t col, double g) {
                  const double cover = sm3_cover_of(op.row_acc.data<double>()[row],
                                                    at_col(op.col_acc, col), g, op.beta);
                  rows[row] = std::max(rows[row], cover);
                  if (cols != nullptr) cols[col] = std::max(cols[col], cover);
                });
}

void CpuKernels::run(Stream&, const ops::Sm3Update& op) {
  const StepState& decided = *decision(op.state);
  if (decided.updated == 0) return;
  by_type(op.value.dtype(), [&]<class T>(T) {
    by_pieces(flat(op.value), [&] {
      return [&, theta = Target<T>(flat(op.value)), grad = Source<T>(flat(op.gradient)),
              buffer = Target<T>(flat(op.buffer)),
              copied = flat(op.copy)](std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        T* now = theta.loaded(r, c, n).data();
        const T* gradient = grad.row(r, c, n).data();
        T* b = op.buffer.empty() ? nullptr : buffer.loaded(r, c, n).data();
        Walk at(op.first + c, op.columns);
        for (std::int64_t i = 0; i < n; ++i, at.next()) {
          const double g = static_cast<double>(gradient[i]) * decided.factor;
          const double cover = sm3_cover_of(op.row_acc.data<double>()[at.row],
                                            at_col(op.col_acc, at.col), g, op.beta);
          double u = g / std::sqrt(cover + op.epsilon);
          if (b != nullptr) {
            u = op.momentum * b[i] + (1 - op.momentum) * u;
            b[i] = static_cast<T>(u);
          }
          now[i] = static_cast<T>(now[i] - op.lr * u);
        }
        if (!copied.empty()) copy_out(now, copied, r, c, n);
        theta.store();
        if (b != nullptr) buffer.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::MuonDirection& op) {
  const StepState& decided = *decision(op.state);
  by_type(op.direction.dtype(), [&]<class T>(T) {
    const T mu = static_cast<T>(op.momentum);
    const T rest = static_cast<T>(1 - op.momentum);
    const T scale = static_cast<T>(decided.factor);
    by_pieces(flat(op.direction), [&] {
      return [&, to = Target<T>(flat(op.direction)), grad = Source<T>(flat(op.gradient)),
              buffer = Target<T>(flat(op.buffer))](std::int64_t r, std::int64_t c,
                                                   std::int64_t n) mutable {
        T* direction = to.row(r, c, n).data();
        if (decided.updated == 0) {
          std::fill_n(direction, n, T{0});
          to.store();
          return;
        }
        const T* gradient = grad.row(r, c, n).data();
        T* b = buffer.loaded(r, c, n).data();
        for (std::int64_t i = 0; i < n; ++i) {
          const T g = gradient[i] * scale;
          b[i] += rest * (g - b[i]);
          direction[i] = g + mu * (b[i] - g);
        }
        buffer.store();
        to.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::Normalize& op) {
  const double factor = 1 / (std::sqrt(*op.squares.data<double>()) + op.epsilon);
  by_type(op.x.dtype(), [&]<class T>(T) {
    by_pieces(op.x, [&] {
      return [&, from = Source<T>(op.x), to = Target<T>(op.y)](std::int64_t r, std::int64_t c,
                                                               std::int64_t n) mutable {
        to.row(r, c, n) = from.row(r, c, n) * static_cast<T>(factor);
        to.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::ApplyDirection& op) {
  if (decision(op.state)->updated == 0) return;
  by_type(op.value.dtype(), [&]<class T>(T) {
    const T keep = static_cast<T>(1 - op.decay);
    const T rate = static_cast<T>(op.rate);
    by_pieces(flat(op.value), [&] {
      return [&, theta = Target<T>(flat(op.value)), by = Source<T>(flat(op.direction)),
              copied = flat(op.copy)](std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        Row<T> now = theta.loaded(r, c, n);
        now = keep * now - rate * by.row(r, c, n);
        if (!copied.empty()) copy_out(now.data(), copied, r, c, n);
        theta.store();
      };
    });
  });
}

}  // namespace trireme::cpu
