// SPDX-License-Identifier: Apache-2.0
// Decides which attention calls cuDNN runs.
#include <algorithm>
#include <cuda_runtime.h>
#include <limits>
#include <map>
#include <set>
#include <string_view>

#include "trireme/core/log.hpp"

#include "../attention/cudnn.hpp"
#include "../runtime/check.hpp"
#include "attention_plans.hpp"

namespace trireme::cuda {

namespace {

/// Versions up to 9.15 need a padding mask unless sequences are multiples of 128. Version 9.9
/// needs the lowest number in place of −∞.
constexpr std::size_t kLeastVersion = 91600;
/// cuDNN's gradients are reproducible to the bit on GPUs of this compute capability.
constexpr int kCapability = 9;
constexpr std::int64_t kMostHeadEntries = 256;

std::string version_text(std::size_t version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

cudnnHandle_t start() {
  const std::size_t version = cudnnGetVersion();
  TRM_REQUIRE(version >= kLeastVersion, "cuDNN {} is too old: {} or later is needed",
              version_text(version), version_text(kLeastVersion));
  int device = 0;
  int major = 0;
  TRM_CUDA(cudaGetDevice(&device));
  TRM_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  TRM_REQUIRE(major == kCapability,
              "the GPU's compute capability is {}.x; cuDNN's attention is used on {}.x alone",
              major, kCapability);
  cudnnHandle_t handle = nullptr;
  TRM_CUDNN(cudnnCreate(&handle));
  return handle;
}

/// cuDNN doesn't check alignment: unaligned arrays have wrong results.
bool aligned(std::initializer_list<ConstView> arrays) {
  return std::all_of(arrays.begin(), arrays.end(), [](const ConstView& v) {
    const std::int64_t row = v.row_stride() * static_cast<std::int64_t>(size_of(v.dtype()));
    return reinterpret_cast<std::uintptr_t>(v.raw()) % kAlignment == 0 &&
           (v.dtype() == DType::f32 || row % kAlignment == 0);
  });
}

/// Why cuDNN can't run this call; "" if it can.
std::string_view obstacle(const ConstView& qkv, const ConstView& out,
                          const AttentionShape& shape, const Dropout& dropout) {
  if (qkv.dtype() != DType::bf16 && qkv.dtype() != DType::f16) return "arrays aren't 16-bit";
  if (dropout.probability > 0) return "cuDNN can't draw this program's dropout";
  if (shape.queries_per_kv != 1) return "query heads share keys";
  if (shape.head_dim % 8 != 0) return "the size of heads is no multiple of 8";
  if (shape.head_dim > kMostHeadEntries) return "heads have more than 256 entries";
  if (shape.seq < 2) return "there is one token";
  if (shape.batch * shape.seq * std::max(qkv.row_stride(), out.row_stride()) >
      std::numeric_limits<std::int32_t>::max()) {
    return "arrays have more than 2³¹ entries";
  }
  return "";
}

AttentionProblem problem_of(const ConstView& qkv, const ConstView& out,
                            const AttentionShape& shape) {
  return {.type = qkv.dtype() == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF,
          .batch = shape.batch,
          .heads = shape.kv_heads,
          .seq = shape.seq,
          .head_dim = shape.head_dim,
          .qkv_row = qkv.row_stride(),
          .out_row = out.row_stride()};
}

void* raw(const ConstView& v) { return const_cast<void*>(v.raw()); }

}  // namespace

struct CudnnAttention::State {
  const Workspace& workspace;
  FusedAttention choice;
  bool started = false;
  std::string unusable{};  ///< why cuDNN can't be used at all
  cudnnHandle_t handle = nullptr;
  /// A null pointer stands for a shape without engines.
  std::map<AttentionProblem, std::unique_ptr<AttentionPlans>> plans{};
  std::map<AttentionProblem, std::string> troubles{};
  std::set<std::string, std::less<>> said{};

  ~State() {
    plans.clear();
    if (handle != nullptr) static_cast<void>(cudnnDestroy(handle));
  }

  /// Returns null: the program's own kernels must run.
  const AttentionPlans* refuse(std::string_view why) {
    if (choice == FusedAttention::cudnn) {
      throw Error(fmt::format(
          "attention_kernel: cudnn: {}; set attention_kernel: auto to let this program's own "
          "kernels take over",
          why));
    }
    if (said.find(why) == said.end()) {
      said.emplace(why);
      log::info("attention by this program's kernels, not cuDNN's: {}", why);
    }
    return nullptr;
  }

  const AttentionPlans* plans_for(const AttentionProblem& problem) {
    if (!started) {
      started = true;
      try {
        handle = start();
      } catch (const Error& e) {
        unusable = e.what();
      }
    }
    if (handle == nullptr) return refuse(unusable);
    const auto [place, is_new] = plans.try_emplace(problem);
    if (is_new) {
      try {
        place->second = std::make_unique<AttentionPlans>(problem, PlanTarget{.handle = handle},
                                                         Workspace::kBytes);
        log::info("attention over {} × {} tokens, {} heads of {}: cuDNN {}, {}", problem.batch,
                  problem.seq, problem.heads, problem.head_dim, version_text(cudnnGetVersion()),
                  place->second->describe());
      } catch (const Error& e) {
        troubles[problem] = e.what();
      }
    }
    return place->second == nullptr ? refuse(troubles[problem]) : place->second.get();
  }
};

CudnnAttention::CudnnAttention(const Workspace& workspace, FusedAttention choice)
    : state_(new State{.workspace = workspace, .choice = choice}) {}

CudnnAttention::~CudnnAttention() = default;

bool CudnnAttention::run(cudaStream_t stream, const ops::AttentionForward& op) {
  if (state_->choice == FusedAttention::own || op.qkv.empty()) return false;
  std::string_view why = obstacle(op.qkv, op.out, op.shape, op.dropout);
  if (!op.first_keys.empty() || !op.end_keys.empty()) why = "attention ends at documents";
  if (op.scores != ScoreRule{}) why = "windows and scores are not the plain ones";
  if (why.empty() && !aligned({op.qkv, op.out, op.lse})) {
    why = "arrays aren't aligned to 16 bytes";
  }
  const AttentionPlans* const plans =
      why.empty() ? state_->plans_for(problem_of(op.qkv, op.out, op.shape))
                  : state_->refuse(why);
  if (plans == nullptr) return false;
  TRM_CUDNN(cudnnSetStream(state_->handle, stream));
  plans->forward(state_->handle, {.qkv = raw(op.qkv), .out = raw(op.out), .lse = raw(op.lse)},
                 state_->workspace.take(plans->workspace_bytes()));
  return true;
}

bool CudnnAttention::run(cudaStream_t stream, const ops::AttentionBackward& op) {
  if (state_->choice == FusedAttention::own || op.qkv.empty()) return false;
  std::string_view why = obstacle(op.qkv, op.out, op.shape, op.dropout);
  if (!op.first_keys.empty() || !op.end_keys.empty()) why = "attention ends at documents";
  if (op.scores != ScoreRule{}) why = "windows and scores are not the plain ones";
  if (why.empty() && !aligned({op.dout, op.qkv, op.out, op.lse, op.dqkv})) {
    why = "arrays aren't aligned to 16 bytes";
  } else if (why.empty() && (op.dout.row_stride() != op.out.row_stride() ||
                             op.dqkv.row_stride() != op.qkv.row_stride())) {
    why = "gradients have other strides";
  }
  const AttentionPlans* const plans =
      why.empty() ? state_->plans_for(problem_of(op.qkv, op.out, op.shape))
                  : state_->refuse(why);
  if (plans == nullptr) return false;
  TRM_CUDNN(cudnnSetStream(state_->handle, stream));
  plans->backward(state_->handle,
                  {.qkv = raw(op.qkv),
                   .out = raw(op.out),
                   .lse = raw(op.lse),
                   .dout = raw(op.dout),
                   .dqkv = raw(op.dqkv)},
                  state_->workspace.take(plans->workspace_bytes()));
  return true;
}

}  // namespace trireme::cuda
