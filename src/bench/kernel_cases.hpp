// SPDX-License-Identifier: Apache-2.0
// Measures the kernels of a deck's training step one by one, on arrays of its shapes and types.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "trireme/deck/deck.hpp"
#include "trireme/ops/exec.hpp"
#include "trireme/optim/optimizer_table.hpp"

namespace trireme {

struct KernelCase {
  std::string group;
  std::string name;
  std::int64_t calls = 0;  ///< calls a step; 0: only for comparison
  double operations = 0;   ///< operations of a call's GEMMs; attention counts its causal half
  double bytes = 0;        ///< bytes a call: each array read once and written once
  /// Makes arrays of random numbers, and returns a function that computes on them repeatedly.
  std::function<std::function<void()>()> make;
};

/// Cases of one rank with the whole model, without activation checkpointing. Calls follow
/// src/model: norms and activations that backward computes again are counted.
class KernelCases {
 public:
  /// `ex` and `deck` must outlive this object, and this object must outlive its cases.
  KernelCases(const Exec& ex, const Deck& deck);
  [[nodiscard]] const std::vector<KernelCase>& all() const { return cases_; }

 private:
  using Run = std::function<void()>;
  struct Matrix {
    const char* name;
    std::int64_t in;
    std::int64_t out;
    bool bias;
    int copies = 1;  ///< number a layer
    /// whether the GEMM's output passes the activation in the same call
    bool activates = false;
    bool activated = false;  ///< whether the GEMM's input came through an activation
  };

  void add(const char* group, const std::string& name, std::int64_t calls, double operations,
           double bytes, std::function<Run()> make);
  void linears();
  void forward(const Matrix& w);
  void backward(const Matrix& w);
  void attention();
  void rotary();
  void qk_norms();
  void factors();
  void norms();
  [[nodiscard]] Run norm_backward(bool with_sum) const;
  void activations();
  void sums();
  void embedding();
  void positions();
  void head();
  void cross_entropy(const Shape& chunk, std::int64_t calls);
  void update();
  void update_by(const OptimizerRow& row);
  void copies();

  void upload(const void* host, const Tensor& to) const;
  [[nodiscard]] Tensor random(DType type, const Shape& shape) const;
  [[nodiscard]] Tensor random(std::int64_t rows, std::int64_t cols) const;
  [[nodiscard]] Tensor ones(DType type, std::int64_t n) const;
  [[nodiscard]] Tensor random_ids(std::int64_t n) const;
  /// A view into a buffer of logits_buffer().
  [[nodiscard]] View logits(const Tensor& buffer) const;
  /// x, weight, bias, y and statistics of a norm.
  [[nodiscard]] std::array<Tensor, 5> norm_arrays() const;
  [[nodiscard]] AttentionShape heads() const;
  /// The rule of the first layer.
  [[nodiscard]] ScoreRule scores() const;
  [[nodiscard]] Dropout dropout(double probability) const;
  /// Bytes of `count` elements.
  [[nodiscard]] static double bytes(std::int64_t count, DType type);
  [[nodiscard]] double bytes(std::int64_t count) const { return bytes(count, type_); }

  const Exec& ex_;
  const Deck& deck_;
  const ModelConfig& model_;
  DType type_;           ///< type of values and activations
  DType sums_;           ///< type of values kept for each row
  DType grad_;           ///< type of weights' gradients
  std::int64_t micro_;   ///< micro-batches a step
  std::int64_t layers_;  ///< layers of all micro-batches
  std::int64_t rows_;
  std::int64_t h_;
  Tensor pool_;  ///< random fp32 numbers
  std::vector<KernelCase> cases_;
};

}  // namespace trireme
