// SPDX-License-Identifier: Apache-2.0
// Compares cuBLASLt's GEMMs with plain loops in fp64, and tests its refusals.
#include <cmath>
#include <cublasLt.h>
#include <functional>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "array.hpp"
#include "dies.hpp"

namespace {

constexpr int kM = 16;
constexpr int kN = 5;
constexpr int kK = 7;

// D[m×n] = epilogue(2 Aᵀ B + beta C), column-major, all fp32.
struct GemmRun {
  explicit GemmRun(cublasLtEpilogue_t kind) : epilogue(kind) {
    cublasLtCreate(&handle);
    cublasLtMatmulDescCreate(&desc, compute, CUDA_R_32F);
    const int turned = CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, turned);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.at);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux.at);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, aux_ld);
    cublasLtMatrixLayoutCreate(&la, CUDA_R_32F, kK, kM, kK);
    cublasLtMatrixLayoutCreate(&lb, CUDA_R_32F, kK, kN, kK + 1);
    cublasLtMatrixLayoutCreate(&lc, CUDA_R_32F, kM, kN, kM);
    cublasLtMatmulPreferenceCreate(&preference);
    fill(a, 1);
    fill(b, 2);
    fill(c, 3);
    fill(bias, 4);
    fill(aux, 5);
  }
  ~GemmRun() {
    cublasLtMatmulPreferenceDestroy(preference);
    for (const auto layout : {la, lb, lc}) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
  }
  GemmRun(const GemmRun&) = delete;
  GemmRun& operator=(const GemmRun&) = delete;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t name, const T& value) {
    BOOST_REQUIRE(cublasLtMatmulDescSetAttribute(desc, name, &value, sizeof(value)) ==
                  CUBLAS_STATUS_SUCCESS);
  }
  static void fill(const Array<float>& x, unsigned seed) {
    std::vector<float> values(x.size);
    for (unsigned i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((i * 37 + seed * 11) % 29) / 16 - 0.9F;
    }
    x.set(values);
  }
  cublasStatus_t heuristic() {
    constexpr std::uint32_t kAlignment = 16;
    for (const auto name : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      cublasLtMatmulPreferenceSetAttribute(preference, name, &kAlignment, sizeof(kAlignment));
    }
    int count = 0;
    return cublasLtMatmulAlgoGetHeuristic(handle, desc, la, lb, lc, lc, preference, 1, &found,
                                          &count);
  }
  cublasStatus_t run(float beta) {
    const float alpha = 2;
    const cublasStatus_t status = heuristic();
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    return cublasLtMatmul(handle, desc, &alpha, a.at, la, b.at, lb, &beta, c.at, lc, d.at, lc,
                          &found.algo, nullptr, 0, nullptr);
  }
  // 2 Aᵀ B + beta C
  [[nodiscard]] double plain(int i, int j, double beta) const {
    double sum = 0;
    for (int k = 0; k < kK; ++k) sum += at(a, k + i * kK) * at(b, k + j * (kK + 1));
    return 2 * sum + beta * at(c, i + j * kM);
  }
  static double at(const Array<float>& x, int i) {
    return x.get()[static_cast<std::size_t>(i)];
  }

  cublasLtEpilogue_t epilogue;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  std::int64_t aux_ld = 24;
  Array<float> a{kK * kM}, b{(kK + 1) * kN}, c{kM * kN}, d{kM * kN}, bias{kM}, aux{24 * kN};
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t la = nullptr;
  cublasLtMatrixLayout_t lb = nullptr;
  cublasLtMatrixLayout_t lc = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t found{};
};

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

void compare(const GemmRun& p, const std::function<double(int, int)>& expected) {
  const std::vector<float> d = p.d.get();
  for (int j = 0; j < kN; ++j) {
    for (int i = 0; i < kM; ++i) {
      BOOST_TEST(std::abs(d[static_cast<std::size_t>(i + j * kM)] - expected(i, j)) < 2e-5);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(products_with_and_without_c) {
  GemmRun p(CUBLASLT_EPILOGUE_DEFAULT);
  BOOST_TEST(p.run(0.5F) == CUBLAS_STATUS_SUCCESS);
  compare(p, [&](int i, int j) { return p.plain(i, j, 0.5); });
  p.c.set(std::vector<float>(p.c.size, NAN));  // must not be read if beta is 0
  BOOST_TEST(p.run(0) == CUBLAS_STATUS_SUCCESS);
  p.c.set(std::vector<float>(p.c.size, 0));
  compare(p, [&](int i, int j) { return p.plain(i, j, 0); });
}

BOOST_AUTO_TEST_CASE(epilogues) {
  GemmRun forward(CUBLASLT_EPILOGUE_GELU_AUX_BIAS);
  BOOST_TEST(forward.run(1) == CUBLAS_STATUS_SUCCESS);
  const auto before = [&](int i, int j) {
    return forward.plain(i, j, 1) + GemmRun::at(forward.bias, i);
  };
  compare(forward, [&](int i, int j) { return gelu(before(i, j)); });
  BOOST_TEST(std::abs(GemmRun::at(forward.aux, 3 + 2 * 24) - before(3, 2)) < 2e-5);

  GemmRun backward(CUBLASLT_EPILOGUE_DGELU_BGRAD);
  BOOST_TEST(backward.run(0) == CUBLAS_STATUS_SUCCESS);
  const auto gradient = [&](int i, int j) {
    const double x = GemmRun::at(backward.aux, i + j * 24);
    return backward.plain(i, j, 0) * (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5;
  };
  compare(backward, gradient);
  double sum = 0;
  for (int j = 0; j < kN; ++j) sum += gradient(9, j);
  BOOST_TEST(std::abs(GemmRun::at(backward.bias, 9) - sum) < 5e-5);

  for (const auto kind : {CUBLASLT_EPILOGUE_BGRADA, CUBLASLT_EPILOGUE_BGRADB}) {
    GemmRun p(kind);
    BOOST_TEST(p.run(1) == CUBLAS_STATUS_SUCCESS);
    compare(p, [&](int i, int j) { return p.plain(i, j, 1); });
    double column = 0;
    for (int k = 0; k < kK; ++k) {
      column += kind == CUBLASLT_EPILOGUE_BGRADA ? GemmRun::at(p.a, k + 3 * kK)
                                                 : GemmRun::at(p.b, k + 3 * (kK + 1));
    }
    BOOST_TEST(std::abs(GemmRun::at(p.bias, 3) - column) < 2e-5);
  }
}

BOOST_AUTO_TEST_CASE(refused_products) {
  GemmRun p(CUBLASLT_EPILOGUE_GELU_AUX);
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{20});
  BOOST_TEST(p.heuristic() == CUBLAS_STATUS_INVALID_VALUE);
  GemmRun types(CUBLASLT_EPILOGUE_BIAS);
  types.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
  BOOST_TEST(types.heuristic() == CUBLAS_STATUS_NOT_SUPPORTED);
  GemmRun none(CUBLASLT_EPILOGUE_BIAS);
  const void* nothing = nullptr;
  none.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, nothing);
  BOOST_TEST(none.run(0) == CUBLAS_STATUS_INVALID_VALUE);
  GemmRun other(CUBLASLT_EPILOGUE_DEFAULT);
  BOOST_TEST(other.heuristic() == CUBLAS_STATUS_SUCCESS);
  const cublasLtMatmulAlgo_t algorithm = other.found.algo;
  GemmRun another(CUBLASLT_EPILOGUE_RELU);
  const float one = 1;
  BOOST_TEST(contains(message_of_death([&] {
                        cublasLtMatmul(another.handle, another.desc, &one, another.a.at,
                                       another.la, another.b.at, another.lb, &one, another.c.at,
                                       another.lc, another.d.at, another.lc, &algorithm,
                                       nullptr, 0, nullptr);
                      }),
                      "for another GEMM"));
}
