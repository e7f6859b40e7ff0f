// SPDX-License-Identifier: Apache-2.0
// cuBLASLt's calls, which refuse what the documentation excludes. Work is queued on the stream.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <cublasLt.h>

#include "arrays.hpp"
#include "devices.hpp"
#include "gemms.hpp"

namespace trireme::emulator {
namespace {

struct Preference {
  std::uint64_t workspace = 0;
  std::array<std::uint32_t, 4> alignment{256, 256, 256, 256};  // for A, B, C and D
};

// What an algorithm was found for, stored in the opaque words of cublasLtMatmulAlgo_t.
struct Algorithm {
  std::uint64_t mark = 0;
  std::uint64_t problem = 0;
  std::uint64_t workspace = 0;
  std::array<std::uint32_t, 4> alignment{};
};
constexpr std::uint64_t kMark = 0x7472697265'6d65;
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

struct Layouts {
  const MatrixLayout &a, &b, &c, &d;
};

MatrixLayout& layout_of(cublasLtMatrixLayout_t l) {
  return *reinterpret_cast<MatrixLayout*>(l);
}
ProductDesc& desc_of(cublasLtMatmulDesc_t d) { return *reinterpret_cast<ProductDesc*>(d); }
Preference& preference_of(cublasLtMatmulPreference_t p) {
  return *reinterpret_cast<Preference*>(p);
}

bool types_fit(const ProductDesc& desc, const Layouts& l) {
  const cudaDataType in = l.a.type;
  const cudaDataType out = l.d.type;
  if (l.b.type != in || l.c.type != out || desc.scale != CUDA_R_32F) return false;
  if (in == CUDA_R_32F) {
    return out == CUDA_R_32F &&
           (desc.compute == CUBLAS_COMPUTE_32F || desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32);
  }
  return (in == CUDA_R_16BF || in == CUDA_R_16F) && (out == in || out == CUDA_R_32F) &&
         desc.compute == CUBLAS_COMPUTE_32F;
}

bool known_epilogue(std::uint32_t e) {
  constexpr std::array kKnown{CUBLASLT_EPILOGUE_DEFAULT,   CUBLASLT_EPILOGUE_RELU,
                              CUBLASLT_EPILOGUE_RELU_AUX,  CUBLASLT_EPILOGUE_BIAS,
                              CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_RELU_AUX_BIAS,
                              CUBLASLT_EPILOGUE_DRELU,     CUBLASLT_EPILOGUE_DRELU_BGRAD,
                              CUBLASLT_EPILOGUE_GELU,      CUBLASLT_EPILOGUE_GELU_AUX,
                              CUBLASLT_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
                              CUBLASLT_EPILOGUE_DGELU,     CUBLASLT_EPILOGUE_DGELU_BGRAD,
                              CUBLASLT_EPILOGUE_BGRADA,    CUBLASLT_EPILOGUE_BGRADB};
  return std::find(kKnown.begin(), kKnown.end(), static_cast<cublasLtEpilogue_t>(e)) !=
         kKnown.end();
}

cublasStatus_t check_shapes(const ProductDesc& desc, const Layouts& l) {
  const bool turn_a = desc.op_a != CUBLAS_OP_N;
  const bool turn_b = desc.op_b != CUBLAS_OP_N;
  const std::int64_t m = turn_a ? l.a.cols : l.a.rows;
  const std::int64_t k = turn_a ? l.a.rows : l.a.cols;
  const std::int64_t n = turn_b ? l.b.rows : l.b.cols;
  if (k != (turn_b ? l.b.cols : l.b.rows)) return CUBLAS_STATUS_INVALID_VALUE;
  for (const MatrixLayout* out : {&l.c, &l.d}) {
    if (out->rows != m || out->cols != n) return CUBLAS_STATUS_INVALID_VALUE;
  }
  for (const MatrixLayout* x : {&l.a, &l.b, &l.c, &l.d}) {
    if (x->rows < 1 || x->cols < 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (x->ld < (x->order == CUBLASLT_ORDER_COL ? x->rows : x->cols)) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check(const ProductDesc& desc, const Layouts& l) {
  if (const auto status = check_shapes(desc, l); status != CUBLAS_STATUS_SUCCESS) return status;
  if (!types_fit(desc, l)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!known_epilogue(desc.epilogue)) return CUBLAS_STATUS_INVALID_VALUE;
  if (desc.pointer_mode != CUBLASLT_POINTER_MODE_HOST) fatal("only host scalars are emulated");
  // Bias and auxiliary matrix have D's type. Epilogues need a column-major D.
  if (desc.uses_bias() && desc.bias_type >= 0 && desc.bias_type != l.d.type) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (desc.epilogue != CUBLASLT_EPILOGUE_DEFAULT && l.d.order != CUBLASLT_ORDER_COL) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (desc.uses_aux()) {
    const bool mask = desc.relu() || desc.drelu();
    if (desc.aux_ld < l.d.rows || desc.aux_ld % (mask ? 128 : 8) != 0) {
      return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!mask && desc.aux_type >= 0 && desc.aux_type != l.d.type) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

// Hashes all that an algorithm depends on, except addresses.
std::uint64_t problem_of(const ProductDesc& desc, const Layouts& l) {
  std::uint64_t hash = 1469598103934665603U;
  const auto mix = [&](auto value) {
    hash = (hash ^ static_cast<std::uint64_t>(value)) * 1099511628211U;
  };
  mix(desc.compute);
  mix(desc.op_a);
  mix(desc.op_b);
  mix(desc.epilogue);
  mix(desc.aux_ld);
  for (const MatrixLayout* x : {&l.a, &l.b, &l.c, &l.d}) {
    mix(x->type);
    mix(x->rows);
    mix(x->cols);
    mix(x->ld);
    mix(x->order);
  }
  return hash;
}

bool aligned(const void* p, std::uint64_t to) {
  return reinterpret_cast<std::uintptr_t>(p) % to == 0;
}

void check_array(const char* name, const void* p, std::int64_t elements, std::int64_t size) {
  if (!lies_in(p, static_cast<std::size_t>(elements * size), Home::device)) {
    fatal("cublasLtMatmul: %s at %p of %lld elements is not within an array of the device",
          name, p, static_cast<long long>(elements));
  }
}

void check_arrays(const GemmCall& call) {
  const ProductDesc& e = call.desc;
  const std::int64_t d_size = size_of_type(call.d_layout.type);
  check_array("A", call.a, call.a_layout.extent(), size_of_type(call.a_layout.type));
  check_array("B", call.b, call.b_layout.extent(), size_of_type(call.b_layout.type));
  if (call.beta != 0) check_array("C", call.c, call.c_layout.extent(), d_size);
  check_array("D", call.d, call.d_layout.extent(), d_size);
  if (e.uses_bias()) {
    check_array("the bias", e.bias, e.sums_b() ? call.d_layout.cols : call.d_layout.rows,
                d_size);
  }
  if (e.uses_aux()) {
    const std::int64_t count = (call.d_layout.cols - 1) * e.aux_ld + call.d_layout.rows;
    const bool mask = e.relu() || e.drelu();
    check_array("the auxiliary matrix", e.aux, mask ? (count + 7) / 8 : count,
                mask ? 1 : d_size);
  }
}

template <class T>
cublasStatus_t take(T& to, const void* value, std::size_t bytes) {
  if (value == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace trireme::emulator

using namespace trireme::emulator;

extern "C" {

std::size_t cublasLtGetVersion() { return CUBLAS_VERSION; }

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "unrecognized status";
  }
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
    default:
      return "unrecognized status";
  }
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (driver_trouble() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = reinterpret_cast<cublasLtHandle_t>(new int(0));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<int*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  auto* made = new ProductDesc;
  made->compute = compute;
  made->scale = scale;
  *desc = reinterpret_cast<cublasLtMatmulDesc_t>(made);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete &desc_of(desc);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t name,
                                              const void* value, std::size_t bytes) {
  ProductDesc& d = desc_of(desc);
  switch (name) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(d.op_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(d.op_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(d.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(d.bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return take(d.bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return take(d.aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return take(d.aux_ld, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE:
      return take(d.aux_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return take(d.pointer_mode, value, bytes);
    default:
      fatal("attribute %d of GEMMs is not emulated", static_cast<int>(name));
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t cols,
                                          std::int64_t ld) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(
      new MatrixLayout{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols),
                       ld, CUBLASLT_ORDER_COL});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &layout_of(layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t name,
                                                const void* value, std::size_t bytes) {
  if (name != CUBLASLT_MATRIX_LAYOUT_ORDER) {
    fatal("attribute %d of layouts is not emulated", static_cast<int>(name));
  }
  std::int32_t order = 0;
  if (const auto status = take(order, value, bytes); status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (order != CUBLASLT_ORDER_COL && order != CUBLASLT_ORDER_ROW) {
    fatal("order %d is not emulated", order);
  }
  layout_of(layout).order = static_cast<cublasLtOrder_t>(order);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete &preference_of(preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void* value, std::size_t bytes) {
  Preference& p = preference_of(preference);
  std::uint32_t ignored = 0;
  switch (name) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return take(p.workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return take(p.alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return take(p.alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return take(p.alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return take(p.alignment[3], value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return take(ignored, value, bytes);
    default:
      fatal("attribute %d of preferences is not emulated", static_cast<int>(name));
  }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int wanted,
    cublasLtMatmulHeuristicResult_t results[], int* count) {
  *count = 0;
  const Layouts layouts{layout_of(a), layout_of(b), layout_of(c), layout_of(d)};
  const cublasStatus_t status = check(desc_of(desc), layouts);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const Preference& p = preference_of(preference);
  constexpr std::array<std::uint64_t, 3> kWorkspaces{256U << 10U, 0, 1U << 20U};
  for (const std::uint64_t workspace : kWorkspaces) {
    if (*count == wanted) break;
    const Algorithm algorithm{kMark, problem_of(desc_of(desc), layouts),
                              std::min(workspace, p.workspace), p.alignment};
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    std::memcpy(static_cast<void*>(&result.algo), &algorithm, sizeof(algorithm));
    result.workspaceSize = algorithm.workspace;
    result.state = CUBLAS_STATUS_SUCCESS;
    result.wavesCount = 1;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream) {
  const std::scoped_lock lock(api_mutex());
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  GemmCall call{desc_of(desc),
                layout_of(a_layout),
                layout_of(b_layout),
                layout_of(c_layout),
                layout_of(d_layout),
                a,
                b,
                c,
                d,
                *static_cast<const float*>(alpha),
                *static_cast<const float*>(beta)};
  const Layouts layouts{call.a_layout, call.b_layout, call.c_layout, call.d_layout};
  if (const auto status = check(call.desc, layouts); status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  // A library may refuse a GEMM for which its heuristic found an algorithm.
  if (call.desc.epilogue != CUBLASLT_EPILOGUE_DEFAULT &&
      std::getenv("TRIREME_EMULATED_EPILOGUES_REFUSED") != nullptr) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (call.desc.uses_bias() && call.desc.bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (call.desc.uses_aux() && call.desc.aux == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (c == d && call.c_layout.ld != call.d_layout.ld) return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace_bytes > 0 && !aligned(workspace, 256)) return CUBLAS_STATUS_INVALID_VALUE;
  std::uint64_t scratch = 0;
  if (algo != nullptr) {
    Algorithm algorithm;
    std::memcpy(&algorithm, static_cast<const void*>(algo), sizeof(algorithm));
    if (algorithm.mark != kMark || algorithm.problem != problem_of(call.desc, layouts)) {
      fatal("cublasLtMatmul: the algorithm was found for another GEMM");
    }
    const std::array<const void*, 4> at{a, b, c, d};
    for (std::size_t i = 0; i < at.size(); ++i) {
      if (!aligned(at[i], algorithm.alignment[i])) {
        fatal("cublasLtMatmul: %c is less aligned than its algorithm expects", "ABCD"[i]);
      }
    }
    scratch = algorithm.workspace;
    if (workspace_bytes < scratch) return CUBLAS_STATUS_INVALID_VALUE;
  }
  check_arrays(call);
  const auto state = stream_state(stream);
  if (state == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  queue_work(state, [call, workspace, scratch] {
    if (scratch > 0) std::memset(workspace, 0xFF, scratch);
    compute_gemm(call);
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
