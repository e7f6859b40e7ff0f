// SPDX-License-Identifier: Apache-2.0
// y = x Wᵀ + b with W sharded by outputs (Sharding::column) or by inputs (Sharding::row). An
// adapter may add its output.
#pragma once

#include <optional>

#include "trireme/model/parameter.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/model/tape.hpp"

#include "adapter.hpp"

namespace trireme {

/// The seams stand with the sublayer, so that branches can share one seam. With Sharding::row,
/// each rank returns an addend, and rank 0 of tp adds the bias to its addend. Every rank sees
/// the whole dy and so has the bias's whole gradient. The micro-batch keys an adapter's
/// dropout.
class Linear {
 public:
  enum class Sharding : std::uint8_t { column, row };
  struct Extents {
    std::int64_t in = 0;   ///< global
    std::int64_t out = 0;  ///< global
  };

  Linear(const std::string& name, Sharding sharding, Extents global, bool bias, InitMethod init,
         const TensorParallel& tp, const LoraConfig& lora = {});

  [[nodiscard]] Tensor forward(const Exec& ex, const ConstView& x, const MicroBatch& mb) const;
  void forward_into(const Exec& ex, const ConstView& x, const MicroBatch& mb,
                    const View& y) const;
  /// `x` is forward's input. With `accumulate`, dx is added to that tensor. Else a new tensor
  /// is returned.
  [[nodiscard]] Tensor backward(const Exec& ex, const ConstView& dy, const ConstView& x,
                                const MicroBatch& mb, const Tensor& accumulate = {});
  /// before = x Wᵀ + b, y = kind(before).
  void forward_activated(const Exec& ex, const ConstView& x, const MicroBatch& mb,
                         Activation kind, const View& before, const View& y) const;
  /// The gradient of `before`, from which an activation computed x. This is the second half of
  /// a backward pass that begins with accumulate_gradients().
  [[nodiscard]] Tensor backward_activated(const Exec& ex, const ConstView& dy,
                                          const MicroBatch& mb, Activation kind,
                                          const ConstView& before) const;
  /// dx = dy W: the second half of backward().
  [[nodiscard]] Tensor input_gradient(const Exec& ex, const ConstView& dy,
                                      const MicroBatch& mb) const;
  /// dW += dyᵀ x, db += 1ᵀ dy: the first half of backward().
  void accumulate_gradients(const Exec& ex, const ConstView& dy, const ConstView& x,
                            const MicroBatch& mb);
  /// Whether accumulate_gradients() reads x.
  [[nodiscard]] bool needs_input() const { return weight_.trains || adapter_; }
  void visit(const ParameterVisitor& f);
  [[nodiscard]] std::int64_t local_out() const { return weight_.box.extent[0]; }

 private:
  [[nodiscard]] ConstView added_bias() const {
    return adds_bias_ ? ConstView(bias_->value) : ConstView();
  }

  Parameter weight_;
  std::optional<Parameter> bias_;
  bool adds_bias_ = false;
  std::optional<Adapter> adapter_;
};

}  // namespace trireme
