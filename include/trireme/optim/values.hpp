// SPDX-License-Identifier: Apache-2.0
// The values of parameters: whole on every rank, or at ZeRO's stage 3 sharded over dp and
// gathered for each use. This class also keeps masters, which round to half-precision values.
#pragma once

#include <deque>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/model/parameter.hpp"
#include "trireme/optim/config.hpp"
#include "trireme/optim/layout.hpp"
#include "trireme/optim/state_file.hpp"

namespace trireme {

/// With hpz_partition_size P, each P neighbours along dp keep a second copy of sharded values:
/// hpZ of ZeRO++ (Wang et al., arXiv 2306.10209). The first gather after an update reads from
/// all ranks of dp and fills the copy. Later gathers read the copy from the neighbours alone.
///
/// With quantized_weights, the gathers of sharded values send bytes and scales: qwZ of ZeRO++.
/// Each rank computes with equal rounded values. This rank's own values stay exact.
///
/// All calls but the accessors are collective over dp: every rank makes them in one order.
class ParameterValues {
 public:
  /// Binds Parameter::value: for good where values are whole, else during each use. Masters are
  /// sharded from stage 1 on. With a `file`, masters are its first arrays. All arguments must
  /// outlive the object.
  ParameterValues(const Exec& ex, const FlatLayout& layout, const Mesh& mesh,
                  const ZeroConfig& zero, const PrecisionConfig& types,
                  StateFile* file = nullptr);

  ParameterValues(const ParameterValues&) = delete;
  ParameterValues& operator=(const ParameterValues&) = delete;
  ~ParameterValues();

  /// Draws initial weights, equal on every mesh: each element is keyed by seed, name and index.
  void initialize(const ModelConfig& config, std::uint64_t seed);

  /// Announces the next uses: before() and after() follow in this order. Values for uses to
  /// come are gathered ahead, within the limits of ZeroConfig. Other values are freed after
  /// their use.
  void begin(std::vector<UnitPlace> uses);
  void before(const UnitPlace& unit);
  void after(const UnitPlace& unit);

  /// The arrays that hold the values most precisely: the masters, or the values if the group
  /// has no masters.
  [[nodiscard]] const FlatArray& masters(std::size_t group) const;
  /// The values in compute precision. If the group has no masters, masters() returns this
  /// array.
  [[nodiscard]] const FlatArray& values(std::size_t group) const;
  /// Frozen groups have no masters.
  [[nodiscard]] bool has_masters(std::size_t group) const {
    return has_masters_ && layout_.groups()[group].trains;
  }
  /// Starts sharing this rank's updated block, which other ranks have before the next use.
  void start_sharing(std::size_t group);
  /// Waits for the gathers that start_sharing() started.
  void wait_for_values();
  /// Rounds this rank's blocks of the masters to values. Call after masters, or values that
  /// have no masters, were changed other than by an update.
  void take_masters();

  [[nodiscard]] std::size_t value_bytes() const;
  /// Bytes of masters in memory.
  [[nodiscard]] std::size_t master_bytes() const;
  /// Elements gathered so far. The number of ranks that a gather reads from doesn't count.
  [[nodiscard]] std::int64_t gathered() const { return gathered_; }
  /// Elements gathered from neighbours so far, which gathered() does not count.
  [[nodiscard]] std::int64_t gathered_nearby() const { return gathered_nearby_; }
  /// Bytes of quantized values gathered so far. Their elements count in neither of both above.
  [[nodiscard]] std::int64_t gathered_quantized() const { return gathered_quantized_; }

 private:
  struct Group {
    FlatArray values;
    FlatArray masters;
    Tensor gathered;  ///< whole values during their uses, where `values` is sharded
    Tensor nearby;    ///< this rank's share of the neighbours' copy; undefined without one
    bool has_nearby = false;    ///< the copy holds the present values
    bool fills_nearby = false;  ///< ... and will, when the gather under way is done
    std::vector<RequestPtr> pending;
    std::vector<Tensor> quantized = {};  ///< for each span, while a gather is under way
  };

  [[nodiscard]] bool is_sharded(std::size_t group) const {
    return !groups_[group].values.whole;
  }
  void start(std::size_t group);
  void wait(std::size_t group);
  void bind(std::size_t group, const Tensor& whole) const;
  /// Groups of the uses after number `use` that may be gathered ahead of their own use.
  [[nodiscard]] std::vector<std::size_t> ahead(std::size_t use) const;
  void start_gather(std::size_t group, const FlatArray& from, const FlatArray& whole);
  void start_quantized_gather(std::size_t group);
  void take_quantized(std::size_t group);
  /// Gathers a group from the neighbours' copy.
  void start_nearby_gather(std::size_t group);
  void fill_nearby(std::size_t group) const;
  /// The share of the neighbours' copy that this rank has of a span, in the copy and in the
  /// whole group.
  [[nodiscard]] View nearby_share(std::size_t group, const FlatSpan& span) const;
  [[nodiscard]] View nearby_share_of_whole(std::size_t group, const FlatSpan& span) const;

  const Exec& ex_;
  const FlatLayout& layout_;
  Communicator& dp_;
  std::unique_ptr<Communicator> neighbours_;  ///< null without a copy that they share
  ZeroConfig zero_;
  bool has_masters_;
  std::vector<Group> groups_;
  std::size_t sharded_groups_ = 0;
  std::vector<UnitPlace> uses_;
  std::size_t next_ = 0;              ///< number of the use that before() is called for next
  std::deque<std::size_t> updating_;  ///< groups whose gathers are under way, oldest first
  std::int64_t gathered_ = 0;
  std::int64_t gathered_nearby_ = 0;
  std::int64_t gathered_quantized_ = 0;
};

/// Gathers each rank's block of a whole array, on all ranks of dp. Collective over dp. A stored
/// array stays as it is: each rank reads the whole of it.
void gather_blocks(Communicator& dp, const FlatLayout& layout, std::size_t group,
                   const FlatArray& array);

}  // namespace trireme
