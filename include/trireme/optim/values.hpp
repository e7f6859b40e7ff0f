// SPDX-License-Identifier: Apache-2.0
// The values of parameters: whole on every rank, or at ZeRO's stage 3 sharded over dp and
// gathered for each use. Here are also the masters that half-precision values are rounded from.
#pragma once

#include <deque>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/model/parameter.hpp"
#include "trireme/optim/config.hpp"
#include "trireme/optim/layout.hpp"

namespace trireme {

/// Collective over dp, all calls but the accessors: in the same order on its ranks.
class ParameterValues {
 public:
  /// Binds Parameter::value: for good where values are whole, else during each use. Masters are
  /// cut from stage 1 on. All arguments must outlive it.
  ParameterValues(const Exec& ex, const FlatLayout& layout, const Mesh& mesh,
                  const ZeroConfig& zero, const PrecisionConfig& types);

  ParameterValues(const ParameterValues&) = delete;
  ParameterValues& operator=(const ParameterValues&) = delete;
  ~ParameterValues();

  /// Initial weights, the same for every mesh: each element is keyed by seed, name and place.
  void initialize(const ModelConfig& config, std::uint64_t seed);

  /// The uses to come: before() and after() follow in this order. What the next ones need is
  /// gathered ahead, within the limits of ZeroConfig; what they don't is freed after its use.
  void begin(std::vector<UnitPlace> uses);
  void before(const UnitPlace& unit);
  void after(const UnitPlace& unit);

  /// What an update changes: the masters, or the values where they are their own masters.
  [[nodiscard]] const FlatArray& masters(std::size_t group) const;
  /// In compute precision; masters() itself where values are their own masters.
  [[nodiscard]] const FlatArray& values(std::size_t group) const;
  [[nodiscard]] bool has_masters() const { return has_masters_; }
  /// This rank's block of the group's values is new: the others get it before the next use.
  void start_sharing(std::size_t group);
  /// Waits until all values are what start_sharing() promised.
  void wait_for_values();
  /// Rounds this rank's blocks of the masters to values: for masters that were loaded.
  void take_masters();

  [[nodiscard]] std::size_t value_bytes() const;
  [[nodiscard]] std::size_t master_bytes() const;
  /// Elements gathered so far, each counted once however many ranks it came from.
  [[nodiscard]] std::int64_t gathered() const { return gathered_; }

 private:
  struct Group {
    FlatArray values;
    FlatArray masters;
    Tensor gathered;  ///< whole values during their uses, where `values` is cut
    std::vector<RequestPtr> pending;
  };

  [[nodiscard]] bool is_cut(std::size_t group) const { return !groups_[group].values.whole; }
  void start(std::size_t group);
  void wait(std::size_t group);
  void bind(std::size_t group, const Tensor& whole) const;
  /// Groups of the uses from number `use` on that may be held at the same time as `held`.
  [[nodiscard]] std::vector<std::size_t> ahead(std::size_t use) const;
  void start_gather(std::size_t group, const FlatArray& from, const FlatArray& whole);

  const Exec& ex_;
  const FlatLayout& layout_;
  Communicator& dp_;
  ZeroConfig zero_;
  bool has_masters_;
  std::vector<Group> groups_;
  std::size_t cut_groups_ = 0;
  std::vector<UnitPlace> uses_;
  std::size_t next_ = 0;              ///< number of the use that before() is called for next
  std::deque<std::size_t> updating_;  ///< groups whose gathers are under way, oldest first
  std::int64_t gathered_ = 0;
};

/// Each rank's block of an array that is whole, on all ranks of dp. Collective over dp.
void gather_blocks(Communicator& dp, const FlatLayout& layout, std::size_t group,
                   const FlatArray& array);

}  // namespace trireme
