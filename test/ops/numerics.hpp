// SPDX-License-Identifier: Apache-2.0
// What the tests of operations share: arrays on the CPU, random and poisoned; errors by norm;
// central finite differences.
#pragma once

// The backend compiles Eigen for another instruction set, whose memory is aligned otherwise; as
// templates of one name the linker would mix the two. Here Eigen has a namespace of its own.
#define Eigen EigenOfTests  // NOLINT(readability-identifier-naming)

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include <Eigen/Core>

#include "trireme/backend/cpu.hpp"
#include "trireme/core/convert.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme::test {

/// A matrix of the references that the kernels are compared with: always fp64.
using Host = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The one CPU that this program computes on.
inline const Exec& cpu() {
  static const std::unique_ptr<Device> device = make_cpu_device();
  static const std::unique_ptr<Kernels> kernels = make_cpu_kernels();
  static const std::unique_ptr<Stream> stream = device->make_stream();
  static const Exec ex{*device, *kernels, *stream};
  return ex;
}

/// Kernels use `n` threads while this lives, one afterwards.
class Threads {
 public:
  explicit Threads(int n) { set_cpu_threads(n); }
  ~Threads() { set_cpu_threads(1); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

template <class F>
void by_float(DType type, F&& f) {
  if (type == DType::f64) {
    f(double{});
  } else {
    f(float{});
  }
}

inline bool is_half(DType type) { return type == DType::bf16 || type == DType::f16; }

inline void set(const View& v, std::int64_t r, std::int64_t c, double x) {
  if (is_half(v.dtype())) {
    const auto single = static_cast<float>(x);
    const auto at = static_cast<std::size_t>(r * v.row_stride() + c);
    narrow(&single, v.dtype(), static_cast<std::uint16_t*>(v.raw()) + at, 1);
    return;
  }
  by_float(v.dtype(),
           [&]<class T>(T) { v.data<T>()[r * v.row_stride() + c] = static_cast<T>(x); });
}

/// The elements of a floating-point or int32 window.
inline Host host(const ConstView& v) {
  Host h(v.rows(), v.cols());
  const auto read = [&](const auto* from) {
    for (std::int64_t r = 0; r < v.rows(); ++r) {
      for (std::int64_t c = 0; c < v.cols(); ++c) {
        h(r, c) = static_cast<double>(from[r * v.row_stride() + c]);
      }
    }
  };
  if (is_half(v.dtype())) {
    const std::int64_t n = v.empty() ? 0 : (v.rows() - 1) * v.row_stride() + v.cols();
    std::vector<float> singles(static_cast<std::size_t>(n));
    widen(v.dtype(), v.raw(), singles.data(), n);
    read(singles.data());
  } else if (v.dtype() == DType::i32) {
    read(v.data<std::int32_t>());
  } else {
    by_float(v.dtype(), [&]<class T>(T) { read(v.data<T>()); });
  }
  return h;
}

inline void assign(const View& v, const Host& h) {
  TRM_CHECK(v.rows() == h.rows() && v.cols() == h.cols(), "assignment to {}", v.shape().str());
  for (std::int64_t r = 0; r < v.rows(); ++r) {
    for (std::int64_t c = 0; c < v.cols(); ++c) set(v, r, c, h(r, c));
  }
}

inline Tensor filled(DType type, const Shape& shape, double x) {
  Tensor t = cpu().make(type, shape);
  assign(t, Host::Constant(t.rows(), t.cols(), x));
  return t;
}

/// An output that must be overwritten.
inline Tensor poisoned(DType type, const Shape& shape) {
  return filled(type, shape, std::numeric_limits<double>::quiet_NaN());
}

/// Uniform in (−size, size), the same numbers for the same name in every element type: they are
/// rounded to fp32, so that fp32 and fp64 runs start from equal values; in arrays of half types
/// they are rounded again.
inline Host random_host(std::int64_t rows, std::int64_t cols, std::string_view name,
                        double size = 1) {
  Host h(rows, cols);
  const RngKey key{7, stream_of(name)};
  for (std::int64_t i = 0; i < h.size(); ++i) {
    const double u = unit_interval(philox(key, static_cast<std::uint64_t>(i))[0]);
    h.data()[i] = static_cast<float>(size * (2 * u - 1));
  }
  return h;
}

inline Tensor random(DType type, const Shape& shape, std::string_view name, double size = 1) {
  Tensor t = cpu().make(type, shape);
  assign(t, random_host(t.rows(), t.cols(), name, size));
  return t;
}

inline Tensor clone(const ConstView& v) {
  Tensor t = cpu().make(v.dtype(), Shape{v.rows(), v.cols()});
  assign(t, host(v));
  return t;
}

/// ‖a − reference‖ / ‖reference‖; NaN where either has one.
inline double relative_error(const Host& a, const Host& reference) {
  TRM_CHECK(a.rows() == reference.rows() && a.cols() == reference.cols(), "{}×{} beside {}×{}",
            a.rows(), a.cols(), reference.rows(), reference.cols());
  const double size = reference.norm();
  return size == 0 ? (a - reference).norm() : (a - reference).norm() / size;
}
inline double relative_error(const ConstView& a, const Host& reference) {
  return relative_error(host(a), reference);
}

inline double inner(const ConstView& a, const ConstView& b) {
  return host(a).cwiseProduct(host(b)).sum();
}

inline bool same_bits(const ConstView& a, const ConstView& b) {
  if (a.dtype() != b.dtype() || a.rows() != b.rows() || a.cols() != b.cols()) return false;
  const std::size_t size = size_of(a.dtype());
  const auto row = [&](const ConstView& v, std::int64_t r) {
    return static_cast<const char*>(v.raw()) +
           static_cast<std::size_t>(r * v.row_stride()) * size;
  };
  for (std::int64_t r = 0; r < a.rows(); ++r) {
    const std::size_t bytes = static_cast<std::size_t>(a.cols()) * size;
    if (std::memcmp(row(a, r), row(b, r), bytes) != 0) return false;
  }
  return true;
}

/// Whether make(), which returns a Tensor, returns the same bits on 1, 2 and 3 threads.
template <class F>
bool same_on_any_threads(F&& make) {
  const auto on = [&](int n) {
    const Threads threads(n);
    return make();
  };
  const Tensor one = on(1);
  return same_bits(one, on(2)) && same_bits(one, on(3));
}

/// Largest |gradient − central difference of loss() in x| over the largest |central
/// difference|, at all elements of x or at `at_most` of them drawn at random. All in fp64.
template <class F>
double gradient_error(const View& x, const ConstView& gradient, F&& loss,
                      std::int64_t at_most = 400) {
  TRM_CHECK(x.rows() == gradient.rows() && x.cols() == gradient.cols(), "gradient of {}",
            x.shape().str());
  const double h = 1e-5;
  const bool all = x.count() <= at_most;
  double error = 0;
  double largest = 1e-3;  // where all slopes vanish, rounding is not an error
  for (std::int64_t i = 0; i < std::min(at_most, x.count()); ++i) {
    const std::uint64_t draw = philox({3, 0}, static_cast<std::uint64_t>(i))[0];
    const std::int64_t e =
        all ? i : static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(x.count()));
    double& value = x.data<double>()[e / x.cols() * x.row_stride() + e % x.cols()];
    const double before = value;
    value = before + h;
    const double above = loss();
    value = before - h;
    const double below = loss();
    value = before;
    const double slope = (above - below) / (2 * h);
    const double given =
        gradient.data<double>()[e / x.cols() * gradient.row_stride() + e % x.cols()];
    // Written so that a NaN anywhere ends as a NaN.
    error = std::abs(given - slope) <= error ? error : std::abs(given - slope);
    if (std::isnan(error)) return error;
    largest = std::max(largest, std::abs(slope));
  }
  return error / largest;
}

}  // namespace trireme::test
