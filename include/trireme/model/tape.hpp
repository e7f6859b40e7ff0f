// SPDX-License-Identifier: Apache-2.0
// What a micro-batch is, and the tape of what its backward pass needs.
#pragma once

#include <vector>

#include "trireme/tensor/tensor.hpp"

namespace trireme {

/// `batch` consecutive samples of `seq` tokens each.
struct MicroBatch {
  std::int64_t batch = 0;
  std::int64_t seq = 0;
  std::uint64_t first_sample = 0;  ///< global number over the whole run: keys dropout
  bool training = true;            ///< dropout is on and gradients will be asked for
  double loss_weight = 1;          ///< the gradient is that of loss_weight · Σ token losses
  Tensor tokens;                   ///< int32 [batch·seq]; first part of the model only
  Tensor targets;                  ///< int32 [batch·seq]; last part only
  Tensor loss_sum;                 ///< fp64 [1], the last part adds Σ token losses

  [[nodiscard]] std::int64_t rows() const { return batch * seq; }
  [[nodiscard]] std::uint64_t first_row() const {
    return first_sample * static_cast<std::uint64_t>(seq);
  }
};

/// A stack of activations, one tape per micro-batch in flight. Backward takes in the reverse
/// order of forward's puts; afterwards the tape is empty. Without recording, puts are dropped.
class Tape {
 public:
  explicit Tape(MicroBatch micro_batch)
      : micro_batch_(std::move(micro_batch)), recording_(micro_batch_.training) {}

  [[nodiscard]] const MicroBatch& micro_batch() const { return micro_batch_; }
  [[nodiscard]] bool recording() const { return recording_; }
  [[nodiscard]] bool empty() const { return stack_.empty(); }
  /// What it holds, tensors held elsewhere too included.
  [[nodiscard]] std::size_t bytes() const {
    std::size_t n = 0;
    for (const Tensor& t : stack_) n += t.view().bytes();
    return n;
  }
  void put(const Tensor& t) {
    if (recording_) stack_.push_back(t);
  }
  [[nodiscard]] Tensor take() {
    TRM_CHECK(!stack_.empty(), "backward takes more from the tape than forward put there");
    Tensor t = std::move(stack_.back());
    stack_.pop_back();
    return t;
  }

 private:
  MicroBatch micro_batch_;
  bool recording_;
  std::vector<Tensor> stack_;
};

}  // namespace trireme
