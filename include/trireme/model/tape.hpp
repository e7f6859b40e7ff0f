// SPDX-License-Identifier: Apache-2.0
// A micro-batch, and the tape of arrays that its backward needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "trireme/tensor/tensor.hpp"

namespace trireme {

struct CachePass;

/// `batch` consecutive samples of `seq` tokens each.
struct MicroBatch {
  std::int64_t batch = 0;
  std::int64_t seq = 0;
  std::uint64_t first_sample = 0;  ///< number over the whole run, which keys dropout
  bool training = true;            ///< dropout is on, and backward follows
  /// Share of micro-batches that the last layer processes, as in layer_keep(); 1: all.
  double layer_keep = 1;
  /// The gradient is that of loss_weight · Σ token losses …
  double loss_weight = 1;
  ConstView loss_scale;  ///< … times this scale against fp16 underflow (fp64 [1]; empty: 1)
  /// int32 [batch·seq], or the bytes of images; first part of the model only. A vision
  /// transformer takes patch_bytes() numbers for each row, below 0 for a class token.
  Tensor tokens;
  Tensor targets;  ///< int32 [target_count()]; below 0: doesn't count; last part only
  std::int64_t sample_targets = 0;  ///< targets of a sample; 0: one for each row
  /// int32 [batch·seq]: each token's position in its document. Empty: its place in the sample.
  Tensor positions;
  /// int32 [batch·seq]: each token's type, below type_vocab_size; first part only. Empty: 0.
  Tensor token_types;
  /// int32 [batch·seq]: the place in the sample at which each token's document begins, and so
  /// the first key of its query. Empty: 0.
  Tensor first_keys;
  /// int32 [batch·seq]: the place after the last key of each token's query. Neither this place
  /// nor that of first_keys decreases within a sample. A token without any key, such as one of
  /// padding, has zeros for attention's result. Empty: the place after the query itself, or
  /// seq with bidirectional attention.
  Tensor end_keys;
  /// Keys and values of earlier tokens (kv_cache.hpp). Null: attention sees the rows alone.
  const CachePass* cache = nullptr;
  /// fp64 [3]: Σ token losses and Σ auxiliary losses, and the number of targets that the first
  /// sum counts. The last part adds to the first and the third. Any module may add to the
  /// second (Tape::auxiliary_sum).
  Tensor loss_sum;

  /// int32 [batch]: the row from which a classifier reads each sample. Last part only.
  Tensor classifier_rows;
  /// For a classifier that takes the mean of a sample's rows instead. int32 [batch·seq]: the
  /// sample of each row, or −1 for padding. Last part only.
  Tensor samples_of_rows;
  /// fp32 [batch, batch]: on the diagonal 1 / n for the n rows of a sample that count, and
  /// zeros.
  Tensor mean_factors;
  /// Where a classifier's evaluation writes the logits of each sample, fp32 [batch, classes].
  /// They are whole on each rank of tp. Undefined: nowhere.
  Tensor class_logits;

  [[nodiscard]] std::int64_t rows() const { return batch * seq; }
  [[nodiscard]] std::int64_t target_count() const {
    return batch * (sample_targets > 0 ? sample_targets : seq);
  }
  [[nodiscard]] View token_loss_sum() const {
    return {loss_sum.view().raw(), DType::f64, Shape{1}};
  }
  [[nodiscard]] View counted_targets() const {
    return {loss_sum.data<double>() + 2, DType::f64, Shape{1}};
  }
  /// The weight of an auxiliary term in the step's loss, where the term is a mean over a
  /// micro-batch. The term's gradient has the factor loss_scale besides.
  [[nodiscard]] double auxiliary_weight() const {
    return loss_weight * static_cast<double>(target_count());
  }
  [[nodiscard]] std::uint64_t first_row() const {
    return first_sample * static_cast<std::uint64_t>(seq);
  }
};

/// A tensor's elements in pinned host memory, valid once the pool's stream has done the copy.
struct HostCopy {
  std::shared_ptr<void> data;  ///< from a HostPool
  DType dtype = DType::f32;
  Shape shape;
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(shape.count()) * size_of(dtype);
  }
};

/// A stack of activations, one tape per micro-batch in flight. Backward takes in the reverse
/// order of forward's puts; afterwards the tape is empty. Without recording, puts are dropped.
class Tape {
 public:
  explicit Tape(MicroBatch micro_batch)
      : micro_batch_(std::move(micro_batch)), recording_(micro_batch_.training) {}
  /// A tape of a micro-batch in training need not record.
  Tape(MicroBatch micro_batch, bool recording)
      : micro_batch_(std::move(micro_batch)), recording_(recording) {}

  [[nodiscard]] const MicroBatch& micro_batch() const { return micro_batch_; }
  [[nodiscard]] bool recording() const { return recording_; }
  [[nodiscard]] bool empty() const { return stack_.empty() && host_stack_.empty(); }
  /// Bytes of device memory that the tape holds, including tensors that others hold too.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// The most that bytes() has been.
  [[nodiscard]] std::size_t peak_bytes() const { return peak_bytes_; }
  /// Bytes of host memory that the tape holds besides.
  [[nodiscard]] std::size_t host_bytes() const { return host_bytes_; }
  /// Where a module's forward adds an auxiliary loss (fp64 [1], on the device): coefficient ·
  /// term · target_count(). Every rank of tp must add an equal amount, since rank 0's alone
  /// counts. The module's backward adds coefficient · auxiliary_weight() · loss_scale ·
  /// ∂term/∂x to dx, and likewise to its parameters' gradients. Where a seam sums dx over tp,
  /// as for a Branch, rank 0 of tp alone adds. The view is empty while backward recomputes a
  /// forward: the module must add no term in this case.
  [[nodiscard]] View auxiliary_sum() const {
    if (recomputing_) return {};
    return {micro_batch_.loss_sum.data<double>() + 1, DType::f64, Shape{1}};
  }
  /// Whether the next forwards recompute earlier ones: see auxiliary_sum().
  void set_recomputing(bool recomputing) { recomputing_ = recomputing; }
  void put(const Tensor& t) {
    if (!recording_) return;
    stack_.push_back(t);
    bytes_ += t.view().bytes();
    peak_bytes_ = std::max(peak_bytes_, bytes_);
  }
  [[nodiscard]] Tensor take() {
    TRM_CHECK(!stack_.empty(), "backward takes more from the tape than forward put there");
    Tensor t = std::move(stack_.back());
    stack_.pop_back();
    bytes_ -= t.view().bytes();
    return t;
  }
  /// put() for copies in host memory, which have a stack of their own.
  void put_host(HostCopy copy) {
    if (!recording_) return;
    host_bytes_ += copy.bytes();
    host_stack_.push_back(std::move(copy));
  }
  /// The copy that take_host() returns next; null if there is none.
  [[nodiscard]] const HostCopy* next_host() const {
    return host_stack_.empty() ? nullptr : &host_stack_.back();
  }
  [[nodiscard]] HostCopy take_host() {
    TRM_CHECK(!host_stack_.empty(), "backward takes more from the host than forward put there");
    HostCopy copy = std::move(host_stack_.back());
    host_stack_.pop_back();
    host_bytes_ -= copy.bytes();
    return copy;
  }

 private:
  MicroBatch micro_batch_;
  bool recording_;
  bool recomputing_ = false;
  std::vector<Tensor> stack_;
  std::vector<HostCopy> host_stack_;
  std::size_t bytes_ = 0;
  std::size_t peak_bytes_ = 0;
  std::size_t host_bytes_ = 0;
};

}  // namespace trireme
