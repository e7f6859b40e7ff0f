// SPDX-License-Identifier: Apache-2.0
// The update: Σ g² for the norm, and the optimizer's arithmetic on this rank's blocks, or on
// all blocks at ZeRO stage 0.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/optim/lr_groups.hpp"
#include "trireme/optim/optimizer_table.hpp"
#include "trireme/optim/reducer.hpp"
#include "trireme/optim/values.hpp"

namespace trireme {

/// How a parameter is updated.
struct UpdateRule {
  double lr_scale = 1;
  double weight_decay = 0;
  bool coded = false;  ///< moments have 8 bits
  friend bool operator==(const UpdateRule&, const UpdateRule&) = default;
};

class EightBitState;

class Optimizer {
 public:
  /// With a `file`, the optimizer's arrays are those behind the masters. All arguments but the
  /// configurations must outlive the optimizer.
  Optimizer(const Exec& ex, const OptimizerConfig& config, const ZeroConfig& zero,
            const PrecisionConfig& types, const FlatLayout& layout, const Mesh& mesh,
            ParameterValues& values, GradientReducer& gradients, StateFile* file = nullptr);

  /// Begins a step after `updates` updates.
  void begin(std::int64_t updates);
  /// Whether the step takes each rank's own gradient instead of the sum over dp, as an
  /// optimizer does that compresses what it averages. GradientReducer::begin() needs the
  /// answer.
  [[nodiscard]] bool own_gradients() const { return own_gradients_; }
  /// total (fp64 [1]) += Σ g² of this rank's share of the gradient. Over all ranks, each
  /// parameter counts once. Call GradientReducer::wait_for_sums() first. `total` becomes inf or
  /// NaN if any element is. With own_gradients(), the call is collective. The sum is then the
  /// mean, over ranks of dp, of the squared norms of their gradients.
  void add_squares(const View& total) const;
  /// Updates the values by `state`, a decided StepState. Own gradients are clipped here, each
  /// by its own norm, and `state` must not clip. Collective over dp, and with a file over the
  /// mesh. Throws Error, on all ranks, if a rank's file fails.
  void step(double lr, const ConstView& state);
  /// Replaces β1 and β2 for the steps to come. Only optimizers that have them.
  void set_betas(double beta1, double beta2);

  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  ~Optimizer();

  /// Bytes of the optimizer's arrays in memory.
  [[nodiscard]] std::size_t state_bytes() const;
  /// Visits a group's arrays by kind ("exp_avg", …). Frozen groups have none.
  void visit_state(const std::function<void(const char* kind, std::size_t group,
                                            const FlatArray&)>& f) const;
  /// Visits arrays that each rank of dp has for itself, with all elements of the parameter.
  /// What this rank's signs left out is "worker_error".
  void visit_rows(
      const std::function<void(const char* kind, const Parameter&, const View& own)>& f) const;
  /// Visits the errors of this rank as the server of its chunk_of() each parameter.
  void visit_server_errors(
      const std::function<void(const Parameter&, const View& error)>& f) const;
  /// Bytes through collectives in the last step by which the optimizer averaged over dp itself.
  [[nodiscard]] std::int64_t traffic() const;
  /// Whether a parameter has the state of this kind. Some groups hold arrays that only some of
  /// their parameters use.
  [[nodiscard]] bool has_state(const char* kind, const Parameter& parameter) const;
  /// Visits arrays that hold a value for each row (axis 0) or column (axis 1) of a parameter.
  /// `data` has this rank's part of the axis in fp64, equal on all ranks of dp.
  void visit_factors(const std::function<void(const char* kind, const Parameter&, int axis,
                                              const View& data)>& f) const;

 private:
  using Rule = UpdateRule;
  struct RuledSlice {
    FlatSlice slice;
    Rule rule;
  };
  struct Group {
    std::vector<FlatSlice> own;       ///< this rank's slices, which the norm takes
    std::vector<RuledSlice> updated;  ///< slices that step() updates: own, or all
    std::vector<FlatArray> state;     ///< in the order of state_arrays(); empty if frozen
    bool whole = true;                ///< whether state has all blocks, and not own ones
    std::shared_ptr<EightBitState> eight_bit = nullptr;  ///< what `state` reads, with 8 bits
  };

  [[nodiscard]] Rule rule_of(const Parameter& parameter, const LrGroups& groups) const;
  [[nodiscard]] std::vector<FlatArray> make_state(DType type, std::size_t number,
                                                  const FlatLayout& layout,
                                                  const ParameterValues& values) const;
  /// Moments in 8 bits, as fp32 arrays that read and write them.
  [[nodiscard]] std::vector<FlatArray> make_eight_bit_state(Group& group) const;
  /// Neighbours that an update treats alike become one slice.
  [[nodiscard]] std::vector<RuledSlice> ruled(const std::vector<FlatSlice>& slices,
                                              const LrGroups& groups) const;
  /// Updates elements of a group. `kept` are the masters, if there are any, and the arrays of
  /// the optimizer.
  void update(std::size_t group, const RuledSlice& ruled, double lr, const ConstView& state,
              std::vector<View> kept);
  /// The decision with the factor of this rank's own gradient.
  [[nodiscard]] ConstView own_decision(const ConstView& state) const;
  void update_in_memory(std::size_t group, double lr, const ConstView& state);
  /// Updates a group tile by tile, from `tile` on. Returns the next group's first tile.
  std::size_t update_in_file(std::size_t group, std::size_t tile, double lr,
                             const ConstView& state);

  const Exec& ex_;
  OptimizerConfig config_;
  const OptimizerRow& row_;
  std::int64_t sub_group_size_;
  const FlatLayout& layout_;
  const Mesh& mesh_;
  ParameterValues& values_;
  GradientReducer& gradients_;
  StateFile* file_;
  std::vector<Group> groups_;
  bool own_gradients_ = false;
  Tensor own_squares_;   ///< fp64 [dp], if gradients may be each rank's own: Σ g² of each
  Tensor own_decision_;  ///< ... and a StepState
  std::unique_ptr<TensorUpdate> whole_;  ///< for rules that need sums over whole parameters
};

}  // namespace trireme
