// SPDX-License-Identifier: Apache-2.0
// Token embedding with its rows sharded over tp, learned positions, and types of tokens.
#pragma once

#include <optional>

#include "trireme/model/module.hpp"
#include "trireme/model/seam.hpp"

#include "normalization.hpp"

namespace trireme {

/// This tp rank's rows of a matrix with a row for each token: the output matrix, if untied.
[[nodiscard]] Parameter vocabulary_parameter(const std::string& name, const ModelConfig& config,
                                             const TensorParallel& tp);

/// The token embedding's table, or the copy that a tied head has on another stage. Table and
/// copy of a tied model each have addends of the gradient.
[[nodiscard]] Parameter token_embedding(const ModelConfig& config, const TensorParallel& tp,
                                        ParameterRole role);

/// Tokens → activations. A token in another rank's rows gives zeros until the seam sums over
/// tp. The factor embedding_scale acts on them. Rank 0 of tp adds positions and token types.
/// With embedding_norm, a norm of the sum follows before dropout. Forward reads no activation,
/// and backward returns no gradient.
class Embedding : public Module {
 public:
  Embedding(const ModelConfig& config, const TensorParallel& tp);
  [[nodiscard]] std::string name() const override { return "embed_in"; }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override;
  void visit(const ParameterVisitor& f) override;
  [[nodiscard]] Parameter& table() { return table_; }

 private:
  /// y += the embeddings of positions.
  void add_positions(const Exec& ex, const MicroBatch& mb, const Tensor& y) const;
  /// y += the embeddings of token types.
  void add_types(const Exec& ex, const MicroBatch& mb, const Tensor& y) const;
  /// Adds to the gradients of positions and types.
  void backward_tables(const Exec& ex, const MicroBatch& mb, const Tensor& d) const;
  [[nodiscard]] Dropout dropout(const Exec& ex, const MicroBatch& mb) const;

  TensorParallel tp_;
  Seam out_;
  double dropout_;
  double scale_;
  std::int64_t offset_;  ///< row of the first position
  double factor_;        ///< muP's, of tokens and positions
  Parameter table_;
  std::optional<Parameter> positions_;
  std::optional<Parameter> types_;
  std::optional<Normalization> norm_;
};

}  // namespace trireme
