// SPDX-License-Identifier: Apache-2.0
// A model as a list of units, and consecutive parts of it. A transformer has an embedding,
// layers, a final norm and a head. In place of the norm, encoders may have output_transform, or
// no unit. A perceptron has an input, inner layers and a head.
#pragma once

#include <memory>
#include <vector>

#include "trireme/model/host_inputs.hpp"
#include "trireme/model/module.hpp"
#include "trireme/model/seam.hpp"
#include "trireme/model/unit_observer.hpp"

namespace trireme {

enum class UnitKind : std::uint8_t { embedding, layer, norm, head };

/// A unit and the global number of its parameters, tied copies left out.
struct UnitInfo {
  UnitKind kind = UnitKind::layer;
  std::int64_t parameters = 0;
};

/// Visits the parameters of a unit that is whole on one rank. The parameters have no memory.
/// Layers of a transformer are alike, and those of a perceptron have a width each.
void visit_unit(const ModelConfig& config, UnitKind kind, const ParameterVisitor& f,
                std::int64_t layer = 0);
/// All units in order. Pure. A vocabulary that is not known yet counts as 0 tokens.
[[nodiscard]] std::vector<UnitInfo> list_units(const ModelConfig& config);
/// Counts the whole model's parameters; tied matrices count once.
[[nodiscard]] std::int64_t count_parameters(const ModelConfig& config);
/// Keys that a query meets in all layers: seq_length or the window's width, without the mask of
/// later keys.
[[nodiscard]] double all_keys(const ModelConfig& config);
/// Operations of a token's forward and backward pass: 6 · parameters + 12 · width of attention
/// · all_keys(). Parameters exclude the embedding tables and include the output matrix.
/// Attention counts in full, as in PaLM's MFU. A frozen parameter counts 4 times, and 2 times
/// below the first unit that trains, where attention counts a third.
[[nodiscard]] double flops_per_token(const ModelConfig& config);
/// Shape of the buffer in which the head holds logits: rows of a chunk, and stride of a row.
/// The head has `rows` rows in all, and this rank of tp has `columns` of the vocabulary.
[[nodiscard]] Shape logits_buffer(const Device& device, std::int64_t rows,
                                  std::int64_t vocab_size, int tp, std::int64_t columns);

/// Units [first_unit, end_unit) of a model: what one stage holds as one chunk.
class ModelPart {
 public:
  /// A tied head shares the embedding's weight if both are in this part. Else the head has a
  /// copy (ParameterRole::tied_copy), whose gradient GradientReducer adds to the original's.
  /// Recompute groups begin anew in each part.
  ModelPart(const Exec& ex, DType dtype, const ModelConfig& config, const TensorParallel& tp,
            int first_unit, int end_unit, const RecomputeConfig& recompute = {});

  /// Whether backward() needs the gradient of the part's result, or adds to any gradient. Units
  /// below the first that trains have no backward, and forward puts nothing on the tape for
  /// them.
  [[nodiscard]] bool has_backward() const { return backward_end_ < units_.size(); }
  /// Whether the part before this one needs the gradient that backward() returns.
  [[nodiscard]] bool passes_gradient() const { return passes_gradient_; }
  /// Width of the activations that forward() takes, and of those that it returns.
  [[nodiscard]] std::int64_t input_width() const { return input_width_; }
  [[nodiscard]] std::int64_t output_width() const { return output_width_; }
  [[nodiscard]] bool first() const { return first_; }
  [[nodiscard]] bool last() const { return last_; }
  /// Activations are [local rows, width]. The first part's x and the last part's result are
  /// empty.
  [[nodiscard]] Tensor forward(const Exec& ex, Tensor x, Tape& tape, const PartPass& pass = {});
  [[nodiscard]] Tensor backward(const Exec& ex, Tensor dy, Tape& tape,
                                const PartPass& pass = {});
  /// The uses of units in forward() and in backward(), in order.
  [[nodiscard]] std::vector<UnitUse> forward_uses(bool training,
                                                  const PartPass& pass = {}) const;
  [[nodiscard]] std::vector<UnitUse> backward_uses(const PartPass& pass = {}) const;
  /// Calls the observers of `uses` for a pass that a graph computes.
  void observe_uses(const Exec& ex, const std::vector<UnitUse>& uses, const PartPass& pass);
  /// Forward of the last part without the loss: this rank's columns of the logits [rows, local
  /// vocabulary], in accumulator_type. `rows` (int32) chooses rows; empty: all rows in order.
  [[nodiscard]] Tensor logits(const Exec& ex, Tensor x, Tape& tape, const ConstView& rows = {});
  /// This rank's columns of the logits, as logits() has them, of the last unit's input.
  [[nodiscard]] Tensor head_logits(const Exec& ex, const Tensor& x) const;
  /// Forward of the last part for the micro-batch's targets, without the whole logits. The
  /// result is [2, rows], equal on all ranks of tp: Σ exp(z − m), and z_target − m, where m is
  /// the row's greatest logit. Rows whose target is below 0 hold any numbers.
  [[nodiscard]] Tensor score(const Exec& ex, Tensor x, Tape& tape);
  void visit(const ParameterVisitor& f);
  [[nodiscard]] std::vector<std::unique_ptr<Module>>& units() { return units_; }
  /// Gives back host memory kept for inputs of recompute groups. The device must be idle.
  void trim_host() {
    if (host_inputs_) host_inputs_->pool().trim();
  }
  /// Bytes of pinned host memory taken so far for inputs of recompute groups.
  [[nodiscard]] std::size_t host_bytes() const {
    return host_inputs_ ? host_inputs_->pool().use().reserved : 0;
  }

 private:
  /// Whether a unit is the first, or the last, of a recompute group.
  [[nodiscard]] bool opens_group(std::size_t unit) const;
  [[nodiscard]] bool closes_group(std::size_t unit) const;
  /// Forward of the last part up to the head.
  [[nodiscard]] Tensor before_head(const Exec& ex, Tensor x, Tape& tape);
  [[nodiscard]] bool computed_again(std::size_t unit) const {
    return first_again_ <= unit && unit < end_again_;
  }

  std::vector<std::unique_ptr<Module>> units_;
  std::size_t backward_end_ = 0;  ///< the last unit in backward; units_.size(): no unit
  bool passes_gradient_ = true;
  std::int64_t input_width_ = 0;
  std::int64_t output_width_ = 0;
  bool first_;
  bool last_;
  RecomputeConfig recompute_;
  TensorParallel tp_;
  std::unique_ptr<HostInputs> host_inputs_;  ///< null: inputs of groups stay on the device
  std::size_t first_again_ = 0;  ///< units that are recomputed, in groups: [first, end)
  std::size_t end_again_ = 0;
};

}  // namespace trireme
