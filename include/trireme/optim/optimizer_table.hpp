// SPDX-License-Identifier: Apache-2.0
// The table of optimizers: all that differs from one optimizer to another. Deck, update,
// checkpoints and benchmarks read the table. A new optimizer is a new row.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/ops/exec.hpp"
#include "trireme/optim/config.hpp"

namespace trireme {

struct Parameter;
class TensorUpdate;
struct TensorUpdateParts;

/// A deck's key below optimizer.params, and the settings that it fills.
struct OptimizerKey {
  std::string_view name;
  std::vector<double OptimizerConfig::*> settings = {};
  std::vector<double> defaults = {};      ///< this optimizer's, where not OptimizerConfig's
  bool OptimizerConfig::*flag = nullptr;  ///< the setting, if it is true or false
  std::int64_t OptimizerConfig::*number = nullptr;  ///< the setting, if it is an integer
};

/// Flat arrays [n] of the parameters that one update treats alike.
struct UpdateArrays {
  View gradient;
  View value;               ///< the masters
  std::vector<View> state;  ///< in the order of state_arrays(); 8 bits: codes, scales of each
  View copy;                ///< receives the values in compute precision; may be empty
  ConstView decision;       ///< a decided StepState on the device
};

struct OptimizerRow {
  OptimizerKind kind;
  std::string_view name;                  ///< for the key optimizer.type
  std::vector<std::string_view> aliases;  ///< other names for optimizer.type
  std::vector<OptimizerKey> keys;         ///< this optimizer's keys besides weight_decay
  /// Names of the optimizer's arrays, as a checkpoint has them. The arrays begin as zeros, with
  /// an element for each value. An update reads and writes each element once.
  std::vector<const char*> (*state_arrays)(const OptimizerConfig& config);
  /// Queues one update at learning rate `lr`. `weight_decay` may be 0 where the configuration's
  /// is not. nullptr: `whole` takes its place.
  void (*update)(const Exec& ex, const OptimizerConfig& config, double lr, double weight_decay,
                 const UpdateArrays& arrays) = nullptr;
  /// Makes what updates all parameters, for rules that need sums over whole parameters.
  std::unique_ptr<TensorUpdate> (*whole)(const TensorUpdateParts& parts) = nullptr;
  /// Whether a parameter has array number `array`; nullptr: each has all.
  bool (*has_array)(const Parameter& parameter, std::size_t array) = nullptr;
  /// Averages over dp by signs and scales, and therefore takes ZeRO's stage 0, fp32 moments and
  /// CPUs alone.
  bool compresses = false;
  /// ... and so many updates of a run come before the first that does.
  std::int64_t (*exact_updates)(const OptimizerConfig& config) = nullptr;
  bool averages_each_step = true;  ///< ... each step from there on
  bool factored = false;           ///< keeps a value for each row and column of a parameter
};

[[nodiscard]] std::span<const OptimizerRow> optimizer_table();
[[nodiscard]] const OptimizerRow& optimizer_row(OptimizerKind kind);
/// The state arrays of the configuration's optimizer.
[[nodiscard]] std::vector<const char*> state_arrays(const OptimizerConfig& config);
/// Bytes of an array for each element of a large parameter, scales included.
[[nodiscard]] double bytes_of_state(const OptimizerConfig& config, DType moments);
/// Kinds of state that a checkpoint has, whichever parameters train.
[[nodiscard]] std::vector<std::string> state_kinds(const OptimizerConfig& config);

}  // namespace trireme
