// SPDX-License-Identifier: Apache-2.0
// What a micro-batch is, and the tape of what its backward pass needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// `batch` consecutive samples of `seq` tokens each.
struct MicroBatch {
  std::int64_t batch = 0;
  std::int64_t seq = 0;
  std::uint64_t first_sample = 0;  ///< global number over the whole run: keys dropout
  bool training = true;            ///< dropout is on and gradients will be asked for
  double loss_weight = 1;  ///< the gradient is that of loss_weight · Σ token losses …
  ConstView loss_scale;    ///< … times this (fp64 [1]; none: 1), not to vanish in fp16
  Tensor tokens;           ///< int32 [batch·seq]; first part of the model only
  Tensor targets;          ///< int32 [batch·seq]; last part only
  /// fp64 [2]: Σ token losses, which the last part adds, and Σ auxiliary losses, to which any
  /// module may add (Tape::auxiliary_sum).
  Tensor loss_sum;

  [[nodiscard]] std::int64_t rows() const { return batch * seq; }
  [[nodiscard]] View token_loss_sum() const {
    return {loss_sum.view().raw(), DType::f64, Shape{1}};
  }
  /// What 1 in an auxiliary term, which is a mean over a micro-batch, weighs in the step's
  /// loss; times loss_scale in its gradient.
  [[nodiscard]] double auxiliary_weight() const {
    return loss_weight * static_cast<double>(rows());
  }
  [[nodiscard]] std::uint64_t first_row() const {
    return first_sample * static_cast<std::uint64_t>(seq);
  }
};

/// A tensor's elements in pinned host memory, once the stream of their pool has come there.
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
  /// What it holds of the device's memory, tensors held elsewhere too included.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// The most that bytes() has been.
  [[nodiscard]] std::size_t peak_bytes() const { return peak_bytes_; }
  /// What it holds of the host's memory beside that.
  [[nodiscard]] std::size_t host_bytes() const { return host_bytes_; }
  /// Where a module's forward adds an auxiliary loss (fp64 [1], on the device): coefficient ·
  /// term · rows(). Every rank of tp must add an equal amount, since rank 0's alone counts. The
  /// module's backward adds coefficient · auxiliary_weight() · loss_scale · ∂term/∂x to dx, and
  /// likewise to its parameters' gradients. Where a seam sums that dx over tp, as a Branch's,
  /// rank 0 of tp alone adds. The view is empty while a forward is recomputed:
  /// the module must then add none.
  [[nodiscard]] View auxiliary_sum() const {
    if (recomputing_) return {};
    return {micro_batch_.loss_sum.data<double>() + 1, DType::f64, Shape{1}};
  }
  /// Whether the forwards to come repeat one that is done: see auxiliary_sum().
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
  /// put() for copies in the host's memory, which are a stack of their own.
  void put_host(HostCopy copy) {
    if (!recording_) return;
    host_bytes_ += copy.bytes();
    host_stack_.push_back(std::move(copy));
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
