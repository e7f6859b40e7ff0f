// SPDX-License-Identifier: Apache-2.0
// Sums, copies, casts and dropout.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.hpp"
#include "philox_lanes.hpp"
#include "windows.hpp"

namespace trireme::cpu {

void CpuKernels::run(Stream&, const ops::Add& op) {
  by_type(op.a.dtype(), [&]<class T>(T) {
    by_pieces(op.y, [&] {
      return [one = Source<T>(op.a), two = Source<T>(op.b), sum = Target<T>(op.y)](
                 std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        sum.row(r, c, n) = one.row(r, c, n) + two.row(r, c, n);
        sum.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::Accumulate& op) {
  by_type(op.y.dtype(), [&]<class T>(T) {
    by_pieces(op.y, [&] {
      return [from = Source<T>(op.x), sum = Target<T>(op.y)](std::int64_t r, std::int64_t c,
                                                             std::int64_t n) mutable {
        sum.loaded(r, c, n) += from.row(r, c, n);
        sum.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::Copy& op) {
  by_pieces(op.y, [&] {
    return [&](std::int64_t r, std::int64_t c, std::int64_t n) {
      std::memcpy(address(op.y, r, c), address(op.x, r, c),
                  static_cast<std::size_t>(n) * size_of(op.x.dtype()));
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

void CpuKernels::run(Stream& s, const ops::Cast& op) {
  if (op.x.dtype() == op.y.dtype()) return run(s, ops::Copy{.x = op.x, .y = op.y});
  by_pieces(op.y, [&] {
    return [&, singles = Source<float>(op.x), odd = Scratch<float>()](
               std::int64_t r, std::int64_t c, std::int64_t n) mutable {
      if (op.y.dtype() == DType::f64) {
        Row<double>(row_data<double>(op.y, r) + c, n) = singles.row(r, c, n).cast<double>();
      } else if (op.x.dtype() != DType::f64) {
        narrow(singles.row(r, c, n).data(), op.y.dtype(), address(op.y, r, c), n);
      } else if (op.y.dtype() == DType::f32) {
        const ConstRow<double> from(row_data<double>(op.x, r) + c, n);
        Row<float>(row_data<float>(op.y, r) + c, n) = from.cast<float>();
      } else {
        float* rounded = odd.take(n);
        std::transform(row_data<double>(op.x, r) + c, row_data<double>(op.x, r) + c + n,
                       rounded, round_to_odd);
        narrow(rounded, op.y.dtype(), address(op.y, r, c), n);
      }
    };
  });
}

void CpuKernels::run(Stream&, const ops::Scale& op) {
  by_type(op.y.dtype(), [&]<class T>(T) {
    const T factor = static_cast<T>(op.factor);
    by_pieces(op.y, [&] {
      return [factor, from = Source<T>(op.x), to = Target<T>(op.y)](
                 std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        to.row(r, c, n) = from.row(r, c, n) * factor;
        to.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::Softcap& op) {
  by_type(op.y.dtype(), [&]<class T>(T) {
    const T cap = static_cast<T>(op.cap);
    by_pieces(op.y, [&] {
      return [cap, from = Source<T>(op.x), to = Target<T>(op.y)](std::int64_t r, std::int64_t c,
                                                                 std::int64_t n) mutable {
        to.row(r, c, n) = cap * (from.row(r, c, n) / cap).tanh();
        to.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::SoftcapGradient& op) {
  by_type(op.y.dtype(), [&]<class T>(T) {
    const T cap = static_cast<T>(op.cap);
    by_pieces(op.y, [&] {
      return [cap, capped = Source<T>(op.y), from = Source<T>(op.dy), to = Target<T>(op.dx)](
                 std::int64_t r, std::int64_t c, std::int64_t n) mutable {
        to.row(r, c, n) = from.row(r, c, n) * (T{1} - (capped.row(r, c, n) / cap).square());
        to.store();
      };
    });
  });
}

void CpuKernels::run(Stream&, const ops::ApplyDropout& op) {
  by_type(op.x.dtype(), [&]<class T>(T) {
    const auto threshold = static_cast<std::uint32_t>(op.dropout.probability * 0x1p32);
    const T keep = static_cast<T>(1 / (1 - op.dropout.probability));
    by_pieces(op.y, [&] {
      return [&, from = Source<T>(op.x), plus = Source<T>(op.add), to = Target<T>(op.y)](
                 std::int64_t r, std::int64_t first, std::int64_t width) mutable {
        PhiloxLanes lanes;
        PhiloxLanes::Words words;
        const T* in = from.row(r, first, width).data();
        const T* base = op.add.empty() ? nullptr : plus.row(r, first, width).data();
        T* out = to.row(r, first, width).data();
        constexpr std::int64_t kBlock = 4 * PhiloxLanes::kLanes;
        for (std::int64_t c = 0; c < width; c += kBlock) {
          for (std::int64_t l = 0; l < PhiloxLanes::kLanes; ++l) {
            lanes.set(
                l, op.dropout.first_row + static_cast<std::uint64_t>(r),
                static_cast<std::uint32_t>((first + c) / 4 + l) + op.dropout.first_column / 4);
          }
          lanes.draw(op.dropout.key, words);
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

void CpuKernels::run(Stream&, const ops::AccumulateSquares& op) {
  by_type(op.x.dtype(), [&]<class T>(T) {
    // Pieces are fixed and summed in order, which gives equal bits for any number of threads.
    const std::int64_t per_row = (op.x.cols() + kPiece - 1) / kPiece;
    Eigen::ArrayXd sums(op.x.rows() * per_row);
    by_pieces(op.x, [&] {
      return
          [&, from = Source<T>(op.x)](std::int64_t r, std::int64_t c, std::int64_t n) mutable {
            const T* part = from.row(r, c, n).data();
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (std::int64_t j = 0; j < n; ++j) {
              sum += static_cast<double>(part[j]) * static_cast<double>(part[j]);
            }
            sums[r * per_row + c / kPiece] = sum;
          };
    });
    *op.total.data<double>() += sums.sum();
  });
}

void CpuKernels::run(Stream& s, const ops::NoteNonFinite& op) {
  auto& now = *op.least.data<std::int64_t>();
  if (op.code < now && first_non_finite(s, op.x) >= 0) now = op.code;
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
