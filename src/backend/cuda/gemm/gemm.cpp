// SPDX-License-Identifier: Apache-2.0
// cuBLASLt reads row-major matrices as their column-major transposes: Cᵀ = op(B)ᵀ op(A)ᵀ. The
// library's first factor is therefore b, its second a, with unchanged operations. The library's
// rows are columns here.
#include "gemm.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "trireme/core/log.hpp"

#include "../runtime/check.hpp"
#include "../runtime/stream.hpp"
#include "../runtime/workspace.hpp"

namespace trireme::cuda {

namespace {

cudaDataType_t type_of(DType t) {
  switch (t) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    default:
      throw Error(fmt::format("the CUDA backend has no GEMM for {}", name_of(t)));
  }
}

cublasOperation_t operation(Op op) { return op == Op::n ? CUBLAS_OP_N : CUBLAS_OP_T; }

/// The largest of 1, 2, 4, 8, 16 and 256 that divides an address. With the powers between, a
/// GEMM would have more plans than sizes.
std::uint32_t alignment_of(const void* p) {
  constexpr std::uintptr_t kMost = 256;
  constexpr std::uintptr_t kVector = 16;
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  const std::uintptr_t power = (address | kMost) & -(address | kMost);
  return static_cast<std::uint32_t>(power == kMost ? kMost : std::min(power, kVector));
}

std::int64_t leading(const ConstView& v) { return std::max(v.row_stride(), v.cols()); }

template <class Handle, cublasStatus_t (*Destroy)(Handle)>
struct Destroyer {
  using pointer = Handle;
  void operator()(Handle h) const { Destroy(h); }
};
template <class Handle, cublasStatus_t (*Destroy)(Handle)>
using Owned = std::unique_ptr<Handle, Destroyer<Handle, Destroy>>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Desc = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

Layout make_layout(const ConstView& v) {
  cublasLtMatrixLayout_t layout = nullptr;
  TRM_CUBLAS(cublasLtMatrixLayoutCreate(&layout, type_of(v.dtype()),
                                        static_cast<std::uint64_t>(v.cols()),
                                        static_cast<std::uint64_t>(v.rows()), leading(v)));
  return Layout(layout);
}

template <class T>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  TRM_CUBLAS(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof(value)));
}

template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  TRM_CUBLAS(
      cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
}

/// Sets only addresses, which change from call to call.
void set_addresses(cublasLtMatmulDesc_t desc, const Epilogue& e) {
  if (e.bias != nullptr) set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, e.bias);
  if (!e.aux.empty()) set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, e.aux.raw());
}

Desc make_desc(const GemmCall& p, const Epilogue& e, bool allow_tf32) {
  const bool tf32 = allow_tf32 && p.a.dtype() == DType::f32;
  cublasLtMatmulDesc_t made = nullptr;
  TRM_CUBLAS(cublasLtMatmulDescCreate(
      &made, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Desc desc(made);
  set(made, CUBLASLT_MATMUL_DESC_TRANSA, operation(p.op_b));
  set(made, CUBLASLT_MATMUL_DESC_TRANSB, operation(p.op_a));
  set(made, CUBLASLT_MATMUL_DESC_EPILOGUE, e.kind);
  const cudaDataType_t type = type_of(p.c.dtype());
  if (e.bias != nullptr) set(made, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type);
  if (!e.aux.empty()) {
    set(made, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, type);
    set(made, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, leading(e.aux));
  }
  set_addresses(made, e);
  return desc;
}

/// Allows split sums only if partial sums stay in fp32 and are added in a fixed order. The
/// other schemes round partial sums to c's type.
Preference make_preference(const GemmCall& p) {
  cublasLtMatmulPreference_t made = nullptr;
  TRM_CUBLAS(cublasLtMatmulPreferenceCreate(&made));
  Preference preference(made);
  set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{Gemm::kWorkspaceBytes});
  set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b.raw()));
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a.raw()));
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(p.c.raw()));
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.c.raw()));
  return preference;
}

std::string text_of(const GemmCall& p) {
  return fmt::format("{}×{}×{} {}{}{} of {} into {}", p.c.rows(), p.c.cols(), p.inner(),
                     p.op_a == Op::n ? 'n' : 't', p.op_b == Op::n ? 'n' : 't',
                     p.accumulate ? " added" : "", name_of(p.a.dtype()), name_of(p.c.dtype()));
}

/// Formats shape, row stride and alignment.
std::string text_of(const ConstView& v) {
  return fmt::format("{}×{} with row stride {}, aligned to {} bytes", v.rows(), v.cols(),
                     leading(v), alignment_of(v.raw()));
}

/// Whether the library says that it can't do such a GEMM.
bool refused(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
}

}  // namespace

/// A GEMM's descriptors and algorithms. Without candidates, cuBLASLt can't do the GEMM.
struct Gemm::Plan {
  Desc desc;
  Layout a;
  Layout b;
  Layout c;
  std::vector<cublasLtMatmulHeuristicResult_t> candidates;
  std::size_t chosen = 0;
  bool proven = false;  ///< whether the chosen algorithm has run
};

Gemm::Gemm(const Workspace& workspace, const CudaOptions& options, const Tuning& tuning)
    : workspace_(workspace),
      allow_tf32_(options.allow_tf32),
      autotune_(options.gemm_autotune),
      tuning_(tuning) {
  TRM_CUBLAS(cublasLtCreate(&handle_));
}

Gemm::~Gemm() { cublasLtDestroy(handle_); }

Gemm::Key Gemm::key_of(const GemmCall& p, const Epilogue& e) {
  const auto code = [](auto... small) {
    std::int64_t all = 0;
    ((all = all * 512 + static_cast<std::int64_t>(small)), ...);
    return all;
  };
  return {p.c.rows(),
          p.c.cols(),
          p.inner(),
          leading(p.a),
          leading(p.b),
          leading(p.c),
          e.aux.empty() ? 0 : leading(e.aux),
          code(p.a.dtype(), p.c.dtype(), p.op_a, p.op_b, p.accumulate),
          e.kind,
          code(alignment_of(p.a.raw()), alignment_of(p.b.raw()), alignment_of(p.c.raw())),
          e.bias != nullptr,
          alignment_of(e.bias),
          alignment_of(e.aux.raw())};
}

std::unique_ptr<Gemm::Plan> Gemm::make_plan(cudaStream_t stream, const GemmCall& p,
                                            const Epilogue& e) const {
  auto plan = std::make_unique<Plan>();
  plan->desc = make_desc(p, e, allow_tf32_);
  plan->a = make_layout(p.b);
  plan->b = make_layout(p.a);
  plan->c = make_layout(p.c);
  const Preference preference = make_preference(p);
  std::vector<cublasLtMatmulHeuristicResult_t> found(
      autotune_ ? static_cast<std::size_t>(tuning_.gemm_candidates) : 1);
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, plan->desc.get(), plan->a.get(), plan->b.get(), plan->c.get(), plan->c.get(),
      preference.get(), static_cast<int>(found.size()), found.data(), &count);
  if (refused(status)) return plan;
  TRM_CUBLAS(status);
  found.resize(static_cast<std::size_t>(count));
  std::erase_if(found, [](const auto& r) { return r.state != CUBLAS_STATUS_SUCCESS; });
  plan->candidates = std::move(found);
  if (plan->candidates.size() > 1) search(*plan, stream, p);
  return plan;
}

cublasStatus_t Gemm::multiply(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                              const Trial& trial) const {
  static constexpr float kOne = 1;
  static constexpr float kZero = 0;
  const GemmCall& p = trial.gemm;
  return cublasLtMatmul(handle_, plan.desc.get(), &p.alpha, p.b.raw(), plan.a.get(), p.a.raw(),
                        plan.b.get(), p.accumulate ? &kOne : &kZero, trial.to, plan.c.get(),
                        trial.to, plan.c.get(), &algorithm, workspace_.take(kWorkspaceBytes),
                        kWorkspaceBytes, trial.stream);
}

/// Times each candidate. Trials overwrite c, unless the GEMM adds to c: these trials use
/// scratch memory. The scratch comes from the device's pool, because the driver would wait for
/// communication when freeing memory. Without enough memory, the heuristic's first choice
/// stands.
void Gemm::search(Plan& plan, cudaStream_t stream, const GemmCall& p) const {
  if (!p.accumulate) {
    plan.chosen = fastest(plan, {stream, p, p.c.raw()});
    return;
  }
  const auto elements = static_cast<std::size_t>(leading(p.c) * p.c.rows());
  std::unique_ptr<Buffer> scratch;
  try {
    scratch = std::make_unique<Buffer>(workspace_.device(), elements * size_of(p.c.dtype()));
  } catch (const Error&) {
    return;
  }
  plan.chosen = fastest(plan, {stream, p, scratch->data()});
}

std::size_t Gemm::fastest(const Plan& plan, const Trial& trial) const {
  const auto events = std::make_shared<EventPool>();
  std::vector<double> seconds;
  for (const auto& candidate : plan.candidates) {
    const cublasStatus_t status = multiply(plan, candidate.algo, trial);  // loads its code
    if (refused(status)) {
      seconds.push_back(std::numeric_limits<double>::infinity());
      continue;
    }
    TRM_CUBLAS(status);
    CudaEvent begin(events, true);
    CudaEvent end(events, true);
    TRM_CUDA(cudaEventRecord(begin.native(), trial.stream));
    for (int i = 0; i < tuning_.gemm_trial_runs; ++i) {
      TRM_CUBLAS(multiply(plan, candidate.algo, trial));
    }
    TRM_CUDA(cudaEventRecord(end.native(), trial.stream));
    end.synchronize();
    seconds.push_back(end.seconds_since(begin) / tuning_.gemm_trial_runs);
  }
  const auto best = std::min_element(seconds.begin(), seconds.end());
  const GemmCall& p = trial.gemm;
  const auto rate = [&](double t) {
    return 2e-12 * static_cast<double>(p.c.count()) * static_cast<double>(p.inner()) / t;
  };
  log::info("GEMM {}: {:.0f} TFLOP/s with the fastest of {} algorithms, {:.0f} with the first",
            text_of(p), rate(*best), seconds.size(), rate(seconds.front()));
  return static_cast<std::size_t>(best - seconds.begin());
}

bool Gemm::try_run(cudaStream_t stream, const GemmCall& p, const Epilogue& e) {
  auto& plan = plans_[key_of(p, e)];
  if (plan == nullptr) plan = make_plan(stream, p, e);
  if (plan->candidates.empty()) return false;
  set_addresses(plan->desc.get(), e);
  const cublasStatus_t status =
      multiply(*plan, plan->candidates[plan->chosen].algo, {stream, p, p.c.raw()});
  if (!plan->proven && refused(status)) {
    plan->candidates.clear();
    return false;
  }
  TRM_CUBLAS(status);
  plan->proven = true;
  return true;
}

void Gemm::run(cudaStream_t stream, const GemmCall& p) {
  TRM_REQUIRE(try_run(stream, p, {}),
              "cuBLASLt has no algorithm for the GEMM {}: a is {}, b {}, c {}", text_of(p),
              text_of(p.a), text_of(p.b), text_of(ConstView(p.c)));
}

}  // namespace trireme::cuda
