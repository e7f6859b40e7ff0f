// SPDX-License-Identifier: Apache-2.0
// Half types beside fp64: the same arguments, widened exactly.
#pragma once

#include <array>

#include "numerics.hpp"

namespace trireme::test {

inline constexpr std::array kHalves = {DType::bf16, DType::f16};

/// Most that rounding once changes an array, relative to its norm, and what fp32 adds to it.
inline double rounding(DType type) {
  switch (type) {
    case DType::bf16:
      return 0x1p-8 + 1e-5;
    case DType::f16:
      return 0x1p-11 + 1e-5;
    default:
      return 1e-5;
  }
}

/// A copy in another type.
inline Tensor as(DType type, const ConstView& v) {
  Tensor t = cpu().make(type, v.shape());
  assign(t, host(v));
  return t;
}
inline Tensor as_f64(const ConstView& v) { return as(DType::f64, v); }

/// Windows inside wider arrays: no row starts where the last one ended.
class Windows {
 public:
  [[nodiscard]] static View random(DType type, std::int64_t rows, std::int64_t cols,
                                   std::string_view name, double size = 1) {
    const View v = make(type, rows, cols);
    assign(v, random_host(rows, cols, name, size));
    return v;
  }
  [[nodiscard]] static View poisoned(DType type, std::int64_t rows, std::int64_t cols) {
    const View v = make(type, rows, cols);
    assign(v, Host::Constant(rows, cols, std::numeric_limits<double>::quiet_NaN()));
    return v;
  }
  /// Nothing beside the windows made since the last call was written.
  [[nodiscard]] static bool untouched() {
    bool good = true;
    for (const Tensor& t : kept()) {
      const Host h = host(t);
      good =
          good && (h.leftCols(3).array() == 77).all() && (h.rightCols(2).array() == 77).all();
    }
    kept().clear();
    return good;
  }

 private:
  static View make(DType type, std::int64_t rows, std::int64_t cols) {
    kept().push_back(filled(type, Shape{rows, cols + 5}, 77));
    return kept().back().view().slice_cols(3, cols);
  }
  static std::vector<Tensor>& kept() {
    static std::vector<Tensor> tensors;
    return tensors;
  }
};

}  // namespace trireme::test
