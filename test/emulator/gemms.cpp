// SPDX-License-Identifier: Apache-2.0
// Computes GEMMs and their epilogues in fp32. Each sum is in the order of k.
#include "gemms.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector>

#include "site.hpp"

namespace trireme::emulator {
namespace {

float load(const void* from, std::int64_t i, std::int32_t type) {
  if (type == CUDA_R_32F) return static_cast<const float*>(from)[i];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(from)[i];
  if (type == CUDA_R_16BF) return std::bit_cast<float>(std::uint32_t{bits} << 16U);
  return static_cast<float>(std::bit_cast<_Float16>(bits));
}

void store(void* to, std::int64_t i, std::int32_t type, float value) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(to)[i] = value;
  } else if (type == CUDA_R_16BF) {
    static_cast<__nv_bfloat16*>(to)[i] = __float2bfloat16_rn(value);
  } else {
    static_cast<_Float16*>(to)[i] = static_cast<_Float16>(value);
  }
}

// Rounds to 10 bits of mantissa, to nearest.
float round_to_tf32(float x) {
  if (!std::isfinite(x)) return x;
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + 0x1000U) & ~0x1fffU);
}

constexpr float kRootTwoOverPi = 0.7978845608028654F;
constexpr float kCubic = 0.044715F;

float gelu(float x) {
  return 0.5F * x * (1 + std::tanh(kRootTwoOverPi * (x + kCubic * x * x * x)));
}

float gelu_gradient(float x) {
  const float t = std::tanh(kRootTwoOverPi * (x + kCubic * x * x * x));
  const float inner = kRootTwoOverPi * (1 + 3 * kCubic * x * x);
  return 0.5F * (1 + t) + 0.5F * x * (1 - t * t) * inner;
}

// Returns op(matrix) in column-major order.
std::vector<float> read(const void* from, const MatrixLayout& layout, std::int32_t op,
                        bool tf32) {
  const bool turned = op != CUBLAS_OP_N;
  const std::int64_t rows = turned ? layout.cols : layout.rows;
  const std::int64_t cols = turned ? layout.rows : layout.cols;
  std::vector<float> all(static_cast<std::size_t>(rows * cols));
  for (std::int64_t col = 0; col < cols; ++col) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t at = turned ? layout.at(col, row) : layout.at(row, col);
      const float x = load(from, at, layout.type);
      all[static_cast<std::size_t>(row + col * rows)] = tf32 ? round_to_tf32(x) : x;
    }
  }
  return all;
}

class GemmRun {
 public:
  explicit GemmRun(const GemmCall& call)
      : p_(call),
        m_(call.d_layout.rows),
        n_(call.d_layout.cols),
        k_(call.desc.op_a == CUBLAS_OP_N ? call.a_layout.cols : call.a_layout.rows),
        type_(call.d_layout.type) {
    const bool tf32 = call.desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    a_ = read(call.a, call.a_layout, call.desc.op_a, tf32);
    b_ = read(call.b, call.b_layout, call.desc.op_b, tf32);
  }

  void run() {
    std::vector<float> column(static_cast<std::size_t>(m_));
    std::vector<float> row_sums(static_cast<std::size_t>(m_));
    for (std::int64_t j = 0; j < n_; ++j) {
      multiply(j, column.data());
      for (std::int64_t i = 0; i < m_; ++i) {
        const float value = finish(i, j, column[static_cast<std::size_t>(i)]);
        row_sums[static_cast<std::size_t>(i)] += value;
        store(p_.d, p_.d_layout.at(i, j), type_, value);
      }
    }
    if (p_.desc.sums_d()) store_sums(row_sums);
    if (p_.desc.sums_a()) store_sums(sums_over_k(a_, m_, 1, m_));
    if (p_.desc.sums_b()) store_sums(sums_over_k(b_, n_, k_, 1));
  }

 private:
  void multiply(std::int64_t j, float* __restrict__ column) const {
    for (std::int64_t i = 0; i < m_; ++i) column[i] = 0;
    for (std::int64_t k = 0; k < k_; ++k) {
      const float factor = b_[static_cast<std::size_t>(k + j * k_)];
      const float* const a = a_.data() + k * m_;
      for (std::int64_t i = 0; i < m_; ++i) column[i] += a[i] * factor;
    }
  }

  float finish(std::int64_t i, std::int64_t j, float sum) {
    const ProductDesc& e = p_.desc;
    float x = p_.alpha * sum;
    if (p_.beta != 0) x += p_.beta * load(p_.c, p_.c_layout.at(i, j), p_.c_layout.type);
    if (e.adds_bias()) x += load(e.bias, i, e.bias_type < 0 ? type_ : e.bias_type);
    const std::int64_t at = i + j * e.aux_ld;
    const std::int32_t aux_type = e.aux_type < 0 ? type_ : e.aux_type;
    if (e.dgelu()) return x * gelu_gradient(load(e.aux, at, aux_type));
    auto* const bits = static_cast<std::uint8_t*>(e.aux);
    const auto bit = static_cast<std::uint8_t>(1U << static_cast<unsigned>(at % 8));
    if (e.drelu()) return (bits[at / 8] & bit) != 0 ? x : 0.0F;
    if (e.gelu()) {
      if (e.uses_aux()) store(e.aux, at, aux_type, x);
      return gelu(x);
    }
    if (e.relu()) {
      if (e.uses_aux()) {
        bits[at / 8] =
            static_cast<std::uint8_t>(x > 0 ? bits[at / 8] | bit : bits[at / 8] & ~bit);
      }
      return x > 0 ? x : 0.0F;
    }
    return x;
  }

  [[nodiscard]] std::vector<float> sums_over_k(const std::vector<float>& factor,
                                               std::int64_t count, std::int64_t step,
                                               std::int64_t step_k) const {
    std::vector<float> sums(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t k = 0; k < k_; ++k) {
        sums[static_cast<std::size_t>(i)] +=
            factor[static_cast<std::size_t>(i * step + k * step_k)];
      }
    }
    return sums;
  }

  void store_sums(const std::vector<float>& sums) {
    const std::int32_t type = p_.desc.bias_type < 0 ? type_ : p_.desc.bias_type;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      store(p_.desc.bias, static_cast<std::int64_t>(i), type, sums[i]);
    }
  }

  const GemmCall& p_;
  std::int64_t m_, n_, k_;
  std::int32_t type_;
  std::vector<float> a_, b_;
};

}  // namespace

std::int64_t size_of_type(std::int32_t type) { return type == CUDA_R_32F ? 4 : 2; }

void compute_gemm(const GemmCall& call) { GemmRun(call).run(); }

}  // namespace trireme::emulator
