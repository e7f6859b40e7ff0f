// SPDX-License-Identifier: Apache-2.0
// Equal arrays on the GPU and the CPU, and one operation on both.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cpu.hpp"
#include "trireme/backend/cuda.hpp"
#include "trireme/core/convert.hpp"

namespace trireme::test {

inline constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};

/// Half a unit in the last place of 1.
inline double rounding(DType t) {
  return t == DType::f64    ? 0x1p-53
         : t == DType::f32  ? 0x1p-24
         : t == DType::bf16 ? 0x1p-8
                            : 0x1p-11;
}

/// Pseudo-random numbers between −1 and 1.
inline std::vector<float> numbers(std::int64_t n, int seed) {
  std::vector<float> values(static_cast<std::size_t>(n));
  std::uint32_t state = 2654435761U * static_cast<std::uint32_t>(seed + 1);
  for (float& v : values) {
    state = state * 1664525U + 1013904223U;
    v = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31F;
  }
  return values;
}

struct Backends {
  explicit Backends(const CudaOptions& options = {})
      : gpu_kernels(make_cuda_kernels(*gpu, options)) {}
  std::unique_ptr<Device> gpu = make_cuda_device(0);
  std::unique_ptr<Stream> compute = gpu->make_stream();
  std::unique_ptr<Kernels> gpu_kernels;
  std::unique_ptr<Device> cpu = make_cpu_device();
  std::unique_ptr<Stream> cpu_stream = cpu->make_stream();
  std::unique_ptr<Kernels> cpu_kernels = make_cpu_kernels();
};

/// Memory layout of a matrix: `gap` elements after each row, `offset` before the first.
struct Layout {
  std::int64_t gap = 0;
  std::int64_t offset = 0;
};
/// Without gaps; unaligned; with gaps that allow vectors; with gaps that don't.
inline constexpr Layout kLayouts[] = {{0, 0}, {0, 1}, {16, 0}, {3, 0}};

/// A matrix [rows, cols] on both backends.
class Twin {
 public:
  /// Copies values of any type from the bytes of the whole array, gaps included.
  Twin(Backends& b, DType type, std::int64_t rows, std::int64_t cols, const Layout& layout,
       const void* bytes)
      : b_(&b),
        type_(type),
        shape_{rows, cols},
        layout_(layout),
        count_(layout.offset + rows * (cols + layout.gap)),
        gpu_(*b.gpu, type, Shape{count_}),
        cpu_(*b.cpu, type, Shape{count_}) {
    std::memcpy(cpu_.view().raw(), bytes, cpu_.view().bytes());
    b.gpu->copy_from_host(gpu_.view().raw(), cpu_.view().raw(), cpu_.view().bytes(),
                          *b.compute);
    b.compute->synchronize();
  }
  /// Random numbers of a floating type, times `size`. Seed 0 gives NaN.
  Twin(Backends& b, DType type, std::int64_t rows, std::int64_t cols, const Layout& layout,
       int seed, float size = 1)
      : Twin(b, type, rows, cols, layout,
             random(type, layout.offset + rows * (cols + layout.gap), seed, size).data()) {}

  [[nodiscard]] View gpu() const { return window(gpu_); }
  [[nodiscard]] View cpu() const { return window(cpu_); }
  [[nodiscard]] std::vector<std::byte> gpu_bytes() const {
    std::vector<std::byte> bytes(cpu_.view().bytes());
    b_->gpu->copy_to_host(bytes.data(), gpu_.view().raw(), bytes.size(), *b_->compute);
    b_->compute->synchronize();
    return bytes;
  }

  /// The largest magnitude of the CPU's elements; gaps of NaN don't count.
  [[nodiscard]] double largest() const {
    double most = 0;
    for (const double v : wide(cpu_.view().raw())) {
      if (std::isfinite(v)) most = std::max(most, std::abs(v));
    }
    return most;
  }

  /// Returns the largest difference of all elements, gaps included. The unit is `slack` times
  /// the sum of two roundings of the element and `floor`.
  [[nodiscard]] double error(double floor, double slack = 1) const {
    const std::vector<double> got = wide(gpu_bytes().data());
    const std::vector<double> expected = wide(cpu_.view().raw());
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double g = got[i];
      const double e = expected[i];
      if (g == e || (std::isnan(g) && std::isnan(e))) continue;
      const double allowed = slack * (2.01 * rounding(type_) * std::abs(e) + floor);
      const double off = std::abs(g - e) / allowed;
      worst = std::max(worst, std::isnan(off) ? std::numeric_limits<double>::infinity() : off);
    }
    return worst;
  }

 private:
  static std::vector<std::byte> random(DType type, std::int64_t n, int seed, float size) {
    std::vector<float> values = numbers(n, seed);
    for (float& v : values) v = seed == 0 ? std::numeric_limits<float>::quiet_NaN() : v * size;
    std::vector<std::byte> bytes(static_cast<std::size_t>(n) * size_of(type));
    if (type == DType::f64) {
      const std::vector<double> doubles(values.begin(), values.end());
      std::memcpy(bytes.data(), doubles.data(), bytes.size());
    } else {
      narrow(values.data(), type, bytes.data(), n);
    }
    return bytes;
  }
  [[nodiscard]] View window(const Tensor& t) const {
    auto* const first = static_cast<std::byte*>(t.view().raw()) +
                        static_cast<std::size_t>(layout_.offset) * size_of(type_);
    return {first, type_, shape_, shape_.cols() + layout_.gap};
  }
  [[nodiscard]] std::vector<double> wide(const void* bytes) const {
    const auto n = static_cast<std::size_t>(count_);
    if (type_ == DType::f64) {
      const auto* const values = static_cast<const double*>(bytes);
      return {values, values + n};
    }
    std::vector<float> values(n);
    widen(type_, bytes, values.data(), count_);
    return {values.begin(), values.end()};
  }

  Backends* b_;
  DType type_;
  Shape shape_;
  Layout layout_;
  std::int64_t count_;
  Tensor gpu_;
  Tensor cpu_;
};

/// One of the two backends, with its view of a twin.
struct Side {
  Kernels& kernels;
  Stream& stream;
  bool gpu;
  View operator()(const Twin& t) const { return gpu ? t.gpu() : t.cpu(); }
};

/// Calls operation(Side) for both backends.
template <class F>
void on_both(Backends& b, F&& operation) {
  operation(Side{*b.gpu_kernels, *b.compute, true});
  operation(Side{*b.cpu_kernels, *b.cpu_stream, false});
  b.compute->synchronize();
}

/// Calls run() twice, which makes arrays, computes and returns the GPU's result. Both results
/// must have equal bits.
template <class F>
void twice(F&& run) {
  const std::vector<std::byte> first = run();
  BOOST_TEST((run() == first), "the second run has other bits");
}

}  // namespace trireme::test
