// SPDX-License-Identifier: Apache-2.0
// Updates that need sums over whole parameters, whatever the mesh and ZeRO shard. A sum is
// taken over this rank's own slices, and then over the ranks that hold the others. The order
// doesn't depend on ZeRO's stage.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "trireme/optim/optimizer.hpp"

namespace trireme {

/// A parameter that trains.
struct UpdatedTensor {
  Parameter* parameter = nullptr;
  std::size_t group = 0;
  UpdateRule rule;
  std::vector<FlatSlice> own;      ///< this rank's share along dp
  std::vector<FlatSlice> updated;  ///< own, or all at stage 0
  std::int64_t rows = 0;           ///< held by this rank of tp; a vector is one column
  std::int64_t columns = 1;
  std::int64_t global_rows = 0;
  std::int64_t global_columns = 1;
  bool over_tp = false;  ///< ranks of tp hold different shards

  [[nodiscard]] bool is_matrix() const { return columns > 1 || global_columns > 1; }
  /// Ranks of tp hold different rows; else different columns, if over_tp.
  [[nodiscard]] bool rows_over_tp() const { return over_tp && rows != global_rows; }
  [[nodiscard]] bool cols_over_tp() const { return over_tp && columns != global_columns; }
  [[nodiscard]] std::int64_t elements() const { return global_rows * global_columns; }
};

[[nodiscard]] UpdatedTensor make_tensor(const FlatLayout& layout, const Mesh& mesh,
                                        std::size_t group, Parameter& parameter, bool whole,
                                        const UpdateRule& rule);

/// All references must outlive the update.
struct TensorUpdateParts {
  const Exec& ex;
  const OptimizerConfig& config;
  PrecisionConfig types;
  const FlatLayout& layout;
  const Mesh& mesh;
  ParameterValues& values;
  GradientReducer& gradients;
  bool whole = true;  ///< each rank of dp updates all slices
  std::vector<UpdatedTensor> tensors = {};
  /// A slice of the optimizer's array.
  std::function<View(std::size_t group, std::size_t array, const FlatSlice& slice)> state = {};

  [[nodiscard]] View gradient(const UpdatedTensor& t, const FlatSlice& s) const {
    return gradients.sums(t.group).part(s);
  }
  [[nodiscard]] View value(const UpdatedTensor& t, const FlatSlice& s) const {
    return values.masters(t.group).part(s);
  }
  [[nodiscard]] View copy(const UpdatedTensor& t, const FlatSlice& s) const {
    return values.has_masters(t.group) ? values.values(t.group).part(s) : View();
  }
};

class TensorUpdate {
 public:
  virtual ~TensorUpdate() = default;
  /// Updates all parameters. Collective over dp and tp.
  virtual void step(double lr, const ConstView& decision) = 0;
  /// See Optimizer::visit_factors.
  virtual void visit_factors(const std::function<void(const char* kind, const Parameter&,
                                                      int axis, const View& data)>&) const {}
  /// Decides how the update after `updates` others takes place. Returns whether the update
  /// takes each rank's own gradient, and averages over dp by itself.
  virtual bool begin(std::int64_t /*updates*/) { return false; }
  /// See Optimizer::visit_rows.
  virtual void visit_rows(
      const std::function<void(const char* kind, const Parameter&, const View& own)>&) const {}
  /// See Optimizer::visit_server_errors.
  virtual void visit_server_errors(
      const std::function<void(const Parameter&, const View& error)>&) const {}
  /// Bytes of arrays that no checkpoint holds.
  [[nodiscard]] virtual std::size_t passing_bytes() const { return 0; }
  /// Bytes through collectives in an update that averages by itself.
  [[nodiscard]] virtual std::int64_t traffic() const { return 0; }
};

/// Two sums for each parameter, over all ranks that share the parameter.
class TensorSums {
 public:
  explicit TensorSums(const TensorUpdateParts& parts);
  void clear();
  /// fp64 [2] of parameter number `i`.
  [[nodiscard]] View of(std::size_t i) const;
  /// Adds what other ranks have. Collective over dp and tp.
  void reduce();

 private:
  const TensorUpdateParts& parts_;
  std::vector<std::int64_t> places_;  ///< sums over tp come first
  std::int64_t over_tp_ = 0;
  Tensor sums_;
};

/// Muon orthogonalizes the matrices of layers.
[[nodiscard]] bool is_orthogonalized(const Parameter& parameter);

[[nodiscard]] std::unique_ptr<TensorUpdate> make_lamb(const TensorUpdateParts& parts);
[[nodiscard]] std::unique_ptr<TensorUpdate> make_adafactor(const TensorUpdateParts& parts);
[[nodiscard]] std::unique_ptr<TensorUpdate> make_sm3(const TensorUpdateParts& parts);
[[nodiscard]] std::unique_ptr<TensorUpdate> make_muon(const TensorUpdateParts& parts);
[[nodiscard]] std::unique_ptr<TensorUpdate> make_one_bit_adam(const TensorUpdateParts& parts);
[[nodiscard]] std::unique_ptr<TensorUpdate> make_one_bit_lamb(const TensorUpdateParts& parts);
[[nodiscard]] std::unique_ptr<TensorUpdate> make_zero_one_adam(const TensorUpdateParts& parts);

}  // namespace trireme
