// SPDX-License-Identifier: Apache-2.0
// A GEMM as cuBLASLt describes it, and its computation.
#pragma once

#include <cstdint>
#include <cublasLt.h>

namespace trireme::emulator {

struct MatrixLayout {
  cudaDataType type = CUDA_R_32F;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t ld = 0;
  cublasLtOrder_t order = CUBLASLT_ORDER_COL;

  [[nodiscard]] std::int64_t at(std::int64_t row, std::int64_t col) const {
    return order == CUBLASLT_ORDER_COL ? row + col * ld : col + row * ld;
  }
  /// Number of elements from the first to the last.
  [[nodiscard]] std::int64_t extent() const { return at(rows - 1, cols - 1) + 1; }
};

struct ProductDesc {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType scale = CUDA_R_32F;
  std::int32_t op_a = CUBLAS_OP_N;
  std::int32_t op_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
  std::int32_t bias_type = -1;  // D's type
  void* aux = nullptr;
  std::int64_t aux_ld = 0;
  std::int32_t aux_type = -1;  // D's type
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;

  [[nodiscard]] bool has(unsigned bits) const { return (epilogue & bits) == bits; }
  [[nodiscard]] bool relu() const { return has(CUBLASLT_EPILOGUE_RELU); }
  [[nodiscard]] bool adds_bias() const { return has(CUBLASLT_EPILOGUE_BIAS); }
  [[nodiscard]] bool gelu() const { return has(CUBLASLT_EPILOGUE_GELU); }
  [[nodiscard]] bool drelu() const { return has(CUBLASLT_EPILOGUE_DRELU); }
  [[nodiscard]] bool dgelu() const { return has(CUBLASLT_EPILOGUE_DGELU); }
  [[nodiscard]] bool uses_aux() const { return has(128); }
  [[nodiscard]] bool sums_d() const { return has(16); }
  [[nodiscard]] bool sums_a() const { return has(CUBLASLT_EPILOGUE_BGRADA); }
  [[nodiscard]] bool sums_b() const { return has(CUBLASLT_EPILOGUE_BGRADB); }
  [[nodiscard]] bool uses_bias() const {
    return adds_bias() || sums_d() || sums_a() || sums_b();
  }
};

struct GemmCall {
  ProductDesc desc;
  MatrixLayout a_layout, b_layout, c_layout, d_layout;
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;
  void* d = nullptr;
  float alpha = 1;
  float beta = 0;
};

[[nodiscard]] std::int64_t size_of_type(std::int32_t type);
void compute_gemm(const GemmCall& call);

}  // namespace trireme::emulator
