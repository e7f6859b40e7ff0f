// SPDX-License-Identifier: Apache-2.0
// Selects the attention kernels for an array, and provides scratch for their sums.
#include "attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../kernels/kernels.hpp"
#include "../runtime/stream.hpp"
#include "args.hpp"
#include "cudnn.hpp"

namespace trireme::cuda {

namespace {

constexpr std::int64_t kMostHeadEntries = 256;

/// The arguments that forward and backward share.
template <class Operation>
AttentionArgs arguments(const Operation& op) {
  const AttentionShape& shape = op.shape;
  const ScoreRule& scores = op.scores;
  const Dropout& dropout = op.dropout;
  const ConstView out = op.out;
  const ConstView lse = op.lse;
  TRM_REQUIRE(shape.head_dim <= kMostHeadEntries,
              "attention heads of {} entries on a GPU: at most {} are possible", shape.head_dim,
              kMostHeadEntries);
  TRM_REQUIRE(shape.seq < std::numeric_limits<int>::max() / 2,
              "attention over sequences of {} tokens on a GPU", shape.seq);
  AttentionArgs a;
  a.qkv = op.qkv.raw();
  a.qkv_stride = op.qkv.row_stride();
  a.out = const_cast<void*>(out.raw());
  a.out_stride = out.row_stride();
  a.lse = const_cast<float*>(lse.data<float>());
  if (!op.first_keys.empty()) a.first_keys = op.first_keys.template data<std::int32_t>();
  if (!op.end_keys.empty()) a.end_keys = op.end_keys.template data<std::int32_t>();
  a.groups = shape.batch * shape.kv_heads;
  a.seq = static_cast<int>(shape.seq);
  a.kv_heads = static_cast<int>(shape.kv_heads);
  a.queries_per_kv = static_cast<int>(shape.queries_per_kv);
  a.head_dim = static_cast<int>(shape.head_dim);
  a.scale = scores.scale > 0 ? static_cast<float>(scores.scale)
                             : 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  a.causal = scores.causal;
  a.window = static_cast<int>(std::min(scores.window, shape.seq));
  a.softcap = static_cast<float>(scores.softcap);
  a.alibi_heads = static_cast<int>(scores.alibi_heads);
  a.drop = dropout.probability > 0;
  a.threshold = static_cast<std::uint32_t>(dropout.probability * 0x1p32);
  a.keep = static_cast<float>(1 / (1 - dropout.probability));
  a.seed = dropout.key.seed;
  a.stream = dropout.key.stream;
  a.first_row = dropout.first_row;
  a.first_head = shape.first_head;
  return a;
}

/// Whether heads in all rows begin and end at multiples of 16 bytes.
bool aligned(std::int64_t head_dim, std::initializer_list<ConstView> arrays) {
  return std::all_of(arrays.begin(), arrays.end(), [&](const ConstView& v) {
    const auto width = static_cast<std::int64_t>(16 / size_of(v.dtype()));
    return reinterpret_cast<std::uintptr_t>(v.raw()) % 16 == 0 && head_dim % width == 0 &&
           v.row_stride() % width == 0;
  });
}

bool half(DType type) { return type == DType::bf16 || type == DType::f16; }

/// Whether scores are more than a scaled product, which only the general kernels compute.
bool bends(const ScoreRule& scores) { return scores.softcap > 0 || scores.alibi_heads > 0; }

}  // namespace

void own_attention(cudaStream_t stream, const ops::AttentionForward& op) {
  if (op.qkv.empty()) return;
  const DType type = op.qkv.dtype();
  const AttentionArgs a = arguments(op);
  if (!half(type) || bends(op.scores) || !aligned(op.shape.head_dim, {op.qkv, op.out})) {
    attention_forward_general(stream, type, a);
  } else if (type == DType::bf16) {
    attention_forward_bf16(stream, a);
  } else {
    attention_forward_f16(stream, a);
  }
}

void own_attention(cudaStream_t stream, const Workspace& workspace,
                   const ops::AttentionBackward& op) {
  if (op.qkv.empty()) return;
  const DType type = op.qkv.dtype();
  const AttentionShape& shape = op.shape;
  AttentionArgs a = arguments(op);
  a.dout = op.dout.raw();
  a.dout_stride = op.dout.row_stride();
  a.dqkv = op.dqkv.raw();
  a.dqkv_stride = op.dqkv.row_stride();
  const bool vectors = aligned(shape.head_dim, {op.qkv, op.out, op.dout, op.dqkv});

  // Run as many groups at once as the workspace has space for their queries' sums.
  const std::int64_t groups = a.groups;
  const std::int64_t bytes_each =
      static_cast<std::int64_t>(sizeof(float)) * shape.queries_per_kv * shape.seq;
  const std::int64_t most = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(Workspace::kBytes) / bytes_each, 1, groups);
  a.delta = static_cast<float*>(workspace.take(static_cast<std::size_t>(most * bytes_each)));
  for (a.first_group = 0; a.first_group < groups; a.first_group += most) {
    a.groups = std::min(most, groups - a.first_group);
    attention_delta(stream, type, a, vectors);
    if (!half(type) || bends(op.scores) || !vectors) {
      attention_backward_general(stream, type, a);
    } else if (type == DType::bf16) {
      attention_queries_bf16(stream, a);
      attention_keys_bf16(stream, a);
    } else {
      attention_queries_f16(stream, a);
      attention_keys_f16(stream, a);
    }
  }
}

void CudaKernels::run(Stream& s, const ops::AttentionForward& op) {
  if (!cudnn_attention_->run(native(s), op)) own_attention(native(s), op);
}

void CudaKernels::run(Stream& s, const ops::AttentionBackward& op) {
  if (!cudnn_attention_->run(native(s), op)) own_attention(native(s), *workspace_, op);
}

}  // namespace trireme::cuda
