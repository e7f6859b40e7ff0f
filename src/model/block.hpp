// SPDX-License-Identifier: Apache-2.0
// A transformer layer: sublayers on the residual stream.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "branch.hpp"
#include "normalization.hpp"

namespace trireme {

/// A residual stream `x`, and the output `add` of the last branch. The next norm adds the two
/// as it reads both. `add` is empty where x is complete.
struct ResidualStream {
  Tensor x;
  Tensor add;
  Dropout dropout;  ///< to be applied to add
};

/// y = x + out(Σ_b dropout(branch_b(norm_b(x)))), with one collective in and one out for all
/// branches. A norm of the result gives y = x + dropout(norm(out(branch(…)))), and a norm of
/// the sum y = norm(x + out(dropout(branch(x)))). Without norms before, branches read x itself.
/// One norm for all branches stands before the seam and sees this rank's rows. Norms of their
/// own stand behind the seam and see all rows, so that the branches still share one collective.
class Sublayer {
 public:
  struct Part {
    std::string name;  ///< keys the branch's dropout
    std::unique_ptr<Branch> branch;
  };
  /// The norms before the branches, of their result, and of the stream with this result.
  struct Norms {
    std::vector<Normalization> before;
    std::optional<Normalization> after = {};
    std::optional<Normalization> of_sum = {};
  };
  Sublayer(std::vector<Part> parts, Norms norms, double dropout, const TensorParallel& tp);

  /// `factor` multiplies what is added to the stream.
  [[nodiscard]] ResidualStream forward(const Exec& ex, ResidualStream in, Tape& tape,
                                       double factor);
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape, double factor);
  /// Puts on the tape what forward puts there.
  void record(const Exec& ex, ResidualStream in, Tape& tape, double factor);
  void visit(const ParameterVisitor& f);

 private:
  [[nodiscard]] bool one_norm() const { return norms_.size() == 1; }
  /// Receives the number of a branch and the input of this branch.
  using Feed = std::function<void(std::size_t part, const Tensor& input)>;
  /// Calls `f` for each branch, and puts on the tape what backward recomputes inputs from.
  /// Afterwards in.x is the whole input, and in.add is empty.
  void feed(const Exec& ex, ResidualStream& in, Tape& tape, const Feed& f) const;
  [[nodiscard]] Tensor backward_one_norm(const Exec& ex, const Tensor& d, const Tensor& dy,
                                         Tape& tape);
  [[nodiscard]] Tensor backward_own_norms(const Exec& ex, const Tensor& d, const Tensor& dy,
                                          Tape& tape);
  [[nodiscard]] Tensor drop(const Exec& ex, std::size_t part, const Tensor& x,
                            const MicroBatch& mb, bool in_place) const;
  /// The gradient of a branch's output, from that of the branches' sum.
  [[nodiscard]] Tensor drop_branch(const Exec& ex, std::size_t part, const Tensor& d,
                                   const MicroBatch& mb) const;
  /// The gradient of the stream before the norm of the sum.
  [[nodiscard]] Tensor backward_sum(const Exec& ex, const Tensor& dy, Tape& tape);
  /// The gradient of the branches' sum, from that of the sublayer's addend.
  [[nodiscard]] Tensor backward_result(const Exec& ex, const Tensor& dy, Tape& tape);
  [[nodiscard]] Dropout dropout_of(const Exec& ex, std::size_t part,
                                   const MicroBatch& mb) const;

  std::vector<Part> parts_;
  std::vector<Normalization> norms_;
  std::optional<Normalization> after_;
  std::optional<Normalization> of_sum_;
  double dropout_;
  TensorParallel tp_;
  Seam in_;
  Seam out_;
};

/// With gpt_j_residual, one sublayer has attention and MLP side by side, else each has its own.
/// With MicroBatch::layer_keep, a micro-batch passes through the layer with a probability p,
/// and what the layer adds to the stream is divided by p. The draw depends on the micro-batch's
/// first sample and the layer alone, so that all ranks and a recomputation draw alike.
class Block : public Module {
 public:
  Block(std::int64_t layer, const ModelConfig& config, const TensorParallel& tp,
        const Tensor& rotary, bool attention_again);
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override;
  void record(const Exec& ex, const Tensor& x, Tape& tape) override;
  void visit(const ParameterVisitor& f) override;

 private:
  /// 1 / p for a micro-batch that passes through the layer, or 0 for one that doesn't.
  [[nodiscard]] double factor_of(const Exec& ex, const MicroBatch& mb) const;

  std::string name_;
  double depth_;  ///< number of the layer, from 1, over that of all layers
  std::vector<Sublayer> sublayers_;
};

}  // namespace trireme
