// SPDX-License-Identifier: Apache-2.0
// Sums, copies, casts and dropout.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.hpp"
#include "philox_lanes.hpp"
#include "windows.hpp"

namespace trireme::cpu {

void CpuKernels::add(Stream&, const ConstView& a, const ConstView& b, const View& y) {
  by_type(a.dtype(), [&]<class T>(T) {
    by_pieces(y, [&] {
      return [one = Source<T>(a), two = Source<T>(b), sum = Target<T>(y)](
                 std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        sum.row(r, c, n) = one.row(r, c, n) + two.row(r, c, n);
        sum.store();
      };
    });
  });
}

void CpuKernels::accumulate(Stream&, const ConstView& x, const View& y) {
  by_type(y.dtype(), [&]<class T>(T) {
    by_pieces(y, [&] {
      return [from = Source<T>(x), sum = Target<T>(y)](std::int64_t r, std::int64_t c,
                                                       std::int64_t n) mutable {
        sum.loaded(r, c, n) += from.row(r, c, n);
        sum.store();
      };
    });
  });
}

void CpuKernels::copy(Stream&, const ConstView& x, const View& y) {
  by_pieces(y, [&] {
    return [&](std::int64_t r, std::int64_t c, std::int64_t n) {
      std::memcpy(address(y, r, c), address(x, r, c),
                  static_cast<std::size_t>(n) * size_of(x.dtype()));
    };
  });
}

namespace {

/// Rounds x to odd: sets the last bit if any bits are lost. A second rounding gives the
/// correctly rounded x: Boldo and Melquiond, "When double rounding is odd", 2005.
float round_to_odd(double x) {
  const auto nearest = static_cast<float>(x);
  const auto back = static_cast<double>(nearest);
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (back == x) return nearest;
  if (std::abs(back) > std::abs(x)) --bits;  // towards zero
  return std::bit_cast<float>(bits | 1U);
}

}  // namespace

void CpuKernels::cast(Stream& s, const ConstView& x, const View& y) {
  if (x.dtype() == y.dtype()) return copy(s, x, y);
  by_pieces(y, [&] {
    return [&, singles = Source<float>(x), odd = Scratch<float>()](
               std::int64_t r, std::int64_t c, std::int64_t n) mutable {
      if (y.dtype() == DType::f64) {
        Row<double>(row_data<double>(y, r) + c, n) = singles.row(r, c, n).cast<double>();
      } else if (x.dtype() != DType::f64) {
        narrow(singles.row(r, c, n).data(), y.dtype(), address(y, r, c), n);
      } else if (y.dtype() == DType::f32) {
        const ConstRow<double> from(row_data<double>(x, r) + c, n);
        Row<float>(row_data<float>(y, r) + c, n) = from.cast<float>();
      } else {
        float* rounded = odd.take(n);
        std::transform(row_data<double>(x, r) + c, row_data<double>(x, r) + c + n, rounded,
                       round_to_odd);
        narrow(rounded, y.dtype(), address(y, r, c), n);
      }
    };
  });
}

void CpuKernels::dropout(Stream&, const ConstView& x, const Dropout& spec, const ConstView& add,
                         const View& y) {
  by_type(x.dtype(), [&]<class T>(T) {
    const auto threshold = static_cast<std::uint32_t>(spec.probability * 0x1p32);
    const T keep = static_cast<T>(1 / (1 - spec.probability));
    by_pieces(y, [&] {
      return [&, from = Source<T>(x), plus = Source<T>(add), to = Target<T>(y)](
                 std::int64_t r, std::int64_t first, std::int64_t width) mutable {
        PhiloxLanes lanes;
        PhiloxLanes::Words words;
        const T* in = from.row(r, first, width).data();
        const T* base = add.empty() ? nullptr : plus.row(r, first, width).data();
        T* out = to.row(r, first, width).data();
        constexpr std::int64_t kBlock = 4 * PhiloxLanes::kLanes;
        for (std::int64_t c = 0; c < width; c += kBlock) {
          for (std::int64_t l = 0; l < PhiloxLanes::kLanes; ++l) {
            lanes.set(l, spec.first_row + static_cast<std::uint64_t>(r),
                      static_cast<std::uint32_t>((first + c) / 4 + l));
          }
          lanes.draw(spec.key, words);
          for (std::int64_t i = c; i < std::min(c + kBlock, width); ++i) {
            const bool kept = words[static_cast<std::size_t>(i - c)] >= threshold;
            const T value = kept ? in[i] * keep : T{0};
            out[i] = base == nullptr ? value : base[i] + value;
          }
        }
        to.store();
      };
    });
  });
}

void CpuKernels::accumulate_squares(Stream&, const ConstView& x, const View& total) {
  by_type(x.dtype(), [&]<class T>(T) {
    // Pieces are fixed and summed in order, which gives equal bits for any number of threads.
    const std::int64_t per_row = (x.cols() + kPiece - 1) / kPiece;
    Eigen::ArrayXd sums(x.rows() * per_row);
    by_pieces(x, [&] {
      return [&, from = Source<T>(x)](std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        const T* part = from.row(r, c, n).data();
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::int64_t j = 0; j < n; ++j) {
          sum += static_cast<double>(part[j]) * static_cast<double>(part[j]);
        }
        sums[r * per_row + c / kPiece] = sum;
      };
    });
    *total.data<double>() += sums.sum();
  });
}

void CpuKernels::note_non_finite(Stream& s, const ConstView& x, std::int64_t code,
                                 const View& least) {
  auto& now = *least.data<std::int64_t>();
  if (code < now && first_non_finite(s, x) >= 0) now = code;
}

std::int64_t CpuKernels::first_non_finite(Stream&, const ConstView& x) {
  std::int64_t found = -1;
  by_type(x.dtype(), [&]<class T>(T) {
    Source<T> from(x);
    for (std::int64_t r = 0; r < x.rows() && found < 0; ++r) {
      for (std::int64_t c = 0; c < x.cols() && found < 0; c += kPiece) {
        const std::int64_t n = std::min(kPiece, x.cols() - c);
        const T* values = from.row(r, c, n).data();
        T probe{0};  // 0 · x is NaN if x is inf or NaN
#pragma omp simd reduction(+ : probe)
        for (std::int64_t i = 0; i < n; ++i) probe += values[i] * T{0};
        if (probe == T{0}) continue;
        const T* bad = std::find_if(values, values + n, [](T v) { return !std::isfinite(v); });
        found = r * x.cols() + c + (bad - values);
      }
    }
  });
  return found;
}

}  // namespace trireme::cpu
