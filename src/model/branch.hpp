// SPDX-License-Identifier: Apache-2.0
// Branch: what stands between a norm and the residual stream. Attention and the MLP are
// branches.
#pragma once

#include <memory>
#include <optional>

#include "trireme/model/module.hpp"

#include "linear.hpp"
#include "qk_normalization.hpp"

namespace trireme {

/// Reads all rows and returns this rank's addend of the output. A branch doesn't keep its
/// input: the caller gives the input to backward again.
class Branch {
 public:
  virtual ~Branch() = default;
  [[nodiscard]] virtual Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) = 0;
  [[nodiscard]] virtual Tensor backward(const Exec& ex, const Tensor& dy, const Tensor& x,
                                        Tape& tape) = 0;
  /// Puts on the tape what forward puts there; the output is not needed.
  virtual void record(const Exec& ex, const Tensor& x, Tape& tape) = 0;
  virtual void visit(const ParameterVisitor& f) = 0;
};

/// What a layer's attention has of its own.
struct AttentionSetting {
  std::int64_t layer = 0;   ///< its number in the model
  Tensor rotary;            ///< the table of ops::rotary_table, or empty
  std::int64_t window = 0;  ///< keys that a query attends to; 0: all
  /// Attention puts no array on the tape, and backward recomputes all from x.
  bool again = false;
};

/// Self-attention.
class Attention : public Branch {
 public:
  Attention(const std::string& name, const ModelConfig& config, const TensorParallel& tp,
            AttentionSetting setting);
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, const Tensor& x,
                                Tape& tape) override;
  void record(const Exec& ex, const Tensor& x, Tape& tape) override;
  void visit(const ParameterVisitor& f) override;

 private:
  /// The results before the output projection.
  struct State {
    Tensor made;  ///< queries, keys and values; with norms of them, before those norms
    Tensor sums;  ///< with norms only
    Tensor qkv;   ///< after norms and rotary embedding
    Tensor out;
    Tensor lse;
  };
  [[nodiscard]] State attend(const Exec& ex, const Tensor& x, const MicroBatch& mb) const;
  /// Makes state.qkv from state.made, whose memory qkv takes if there are no norms.
  void prepare(const Exec& ex, const MicroBatch& mb, State& state) const;
  /// Adds the rows' keys and values to the cache. Computes state.out if the rows attend to the
  /// cache.
  void use_cache(const Exec& ex, const CachePass& pass, const AttentionShape& shape,
                 State& state) const;
  void keep(const State& state, Tape& tape) const;
  [[nodiscard]] AttentionShape shape(const MicroBatch& mb) const;
  [[nodiscard]] Dropout dropout(const Exec& ex, const MicroBatch& mb) const;

  std::int64_t layer_;
  AttentionShape heads_;
  ScoreRule scores_;
  double dropout_;
  std::uint32_t stream_;
  Tensor rotary_;
  bool again_;
  Linear query_key_value_;
  std::optional<QkNormalization> norm_;
  Linear dense_;
};

class Mlp : public Branch {
 public:
  Mlp(const std::string& name, const ModelConfig& config, const TensorParallel& tp);
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override;
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, const Tensor& x,
                                Tape& tape) override;
  void record(const Exec& ex, const Tensor& x, Tape& tape) override;
  void visit(const ParameterVisitor& f) override;

 private:
  /// Returns the activation's input.
  [[nodiscard]] Tensor ascend(const Exec& ex, const Tensor& x, const MicroBatch& mb) const;

  Activation activation_;
  std::vector<Linear> up_;  ///< one matrix, or gate and up with outputs side by side
  Linear down_;
};

}  // namespace trireme
