// SPDX-License-Identifier: Apache-2.0
// The units of a multilayer perceptron that classifies images. They are the input, inner layers
// with an activation, and a Head whose classes take the place of a vocabulary.
#pragma once

#include <memory>

#include "trireme/model/module.hpp"
#include "trireme/model/seam.hpp"

#include "linear.hpp"

namespace trireme {

/// Turns the bytes of images into numbers: y = byte / 255, [samples, mlp_sizes[0]]. Takes the
/// bytes from MicroBatch::tokens, and has no parameters.
class PixelInput final : public Module {
 public:
  /// `bytes` are the 256 numbers, [256, 1]: see pixel_values().
  PixelInput(std::int64_t inputs, Tensor bytes) : inputs_(inputs), bytes_(std::move(bytes)) {}

  [[nodiscard]] std::string name() const override { return "input"; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec&, const Tensor&, Tape&) override { return {}; }
  void visit(const ParameterVisitor&) override {}

 private:
  std::int64_t inputs_;
  Tensor bytes_;
};

/// The table that PixelInput and PatchEmbedding read: byte b is (b / 255 − mean) / std.
[[nodiscard]] Tensor pixel_values(const Exec& ex, DType dtype, double mean, double std);

/// y = dropout(activation(x Wᵀ + b)). W is sharded over tp by its inputs. Each rank sees all of
/// x and of y.
class PerceptronLayer final : public Module {
 public:
  /// Inner layer number `layer`, from mlp_sizes[layer] to mlp_sizes[layer + 1]. The first layer
  /// returns no gradient of its input, since no parameter is below.
  PerceptronLayer(std::int64_t layer, const ModelConfig& config, const TensorParallel& tp);

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override;
  void visit(const ParameterVisitor& f) override { linear_.visit(f); }

 private:
  [[nodiscard]] Dropout dropout(const Exec& ex, const MicroBatch& mb) const;

  std::string name_;
  bool is_first_;
  Activation activation_;
  double dropout_;
  Communicator* tp_;
  std::int64_t inputs_;
  RowRange mine_;  ///< columns of x that this rank's shard of W multiplies
  Linear linear_;
};

/// The head: mlp_sizes' last layer, and the loss. With `alone`, no parameter is below.
[[nodiscard]] std::unique_ptr<Module> make_classifier(const ModelConfig& config,
                                                      const TensorParallel& tp, bool alone);

}  // namespace trireme
