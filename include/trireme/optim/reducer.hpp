// SPDX-License-Identifier: Apache-2.0
// Memory for gradients while a unit's backward runs, and sums of gradients over the ranks that
// hold addends. Reductions run while backward goes on.
#pragma once

#include <deque>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/optim/config.hpp"
#include "trireme/optim/layout.hpp"

namespace trireme {

/// After a unit's backward, the gradients of the micro-batch are reduce-scattered over dp and
/// added to this rank's blocks. Between micro-batches a rank keeps these blocks alone, and
/// every stage of ZeRO adds in one order. With ZeroConfig::reduce_once_per_step, gradients add
/// up on each rank, and the sums are reduced after the last micro-batch. At stage 0 all ranks
/// gather the sums. All calls but the accessors are collective over dp, in one order.
class GradientReducer {
 public:
  GradientReducer(const Exec& ex, const FlatLayout& layout, const Mesh& mesh,
                  const ZeroConfig& zero, const PrecisionConfig& types);

  /// Begins a step of `micro_batches` micro-batches. Parameter::grad is bound from before() to
  /// after_backward(). With `own_alone`, sums are this rank's own, without those of other ranks
  /// along dp: stage 0 only.
  void begin(int micro_batches, bool own_alone = false);
  /// Binds memory for gradients to which the unit is going to add.
  void before(const UnitPlace& unit);
  /// The unit's backward is over: starts the reductions that are due.
  void after_backward(const UnitPlace& unit);
  /// Polls the reductions under way.
  void progress();
  /// After the call, this rank's blocks are sums over all ranks. Collective over dp, tp and
  /// ends.
  void wait_for_sums();
  /// At stage 0, gathers the sums, so that the arrays that an update reads are complete. Call
  /// after wait_for_sums().
  void gather();

  /// A frozen group has no sums.
  [[nodiscard]] const FlatArray& sums(std::size_t group) const { return groups_[group].sums; }
  [[nodiscard]] std::size_t bytes() const;
  /// Elements of gradients reduced over dp so far, and elements of sums gathered so far.
  [[nodiscard]] std::int64_t reduced() const { return reduced_; }
  [[nodiscard]] std::int64_t gathered() const { return gathered_; }

 private:
  struct Group {
    FlatArray sums;
    Tensor addend;          ///< gradients of the micro-batch under way, all blocks
    bool trains = false;    ///< frozen groups have no arrays
    int done = 0;           ///< micro-batches that have been added or sent
    bool special = false;   ///< summed over other axes than dp too
    bool gathered = false;  ///< its gather has been started
  };
  struct UnderWay {
    std::size_t group;
    Tensor data;
    Tensor room;  ///< receives the other ranks' addends
    std::vector<RequestPtr> requests;
    bool last = false;  ///< the group's last reduction in the step
  };

  void bind(std::size_t group, const Tensor& whole) const;
  void add_locally(Group& group) const;
  void start(std::size_t group, Tensor data, bool accumulate);
  void complete_oldest();
  void start_gather(std::size_t group);
  /// Whether this mesh has another rank on the axis that holds addends of the group.
  [[nodiscard]] bool summed_over(Axis axis, const FlatGroup& group) const;
  /// The elements of a span whose sums this rank completes.
  [[nodiscard]] View completed(std::size_t group, const FlatSpan& span) const;
  void sum_over_tp();
  void sum_over_ends();

  const Exec& ex_;
  const FlatLayout& layout_;
  const Mesh& mesh_;
  ZeroConfig zero_;
  PrecisionConfig types_;
  bool own_alone_ = false;
  bool local_ = false;   ///< micro-batches add up on this rank before anything is sent
  bool direct_ = false;  ///< ... and the kernels themselves add to the sums
  std::vector<Group> groups_;
  std::deque<UnderWay> under_way_;
  std::vector<RequestPtr> gathers_;
  int micro_batches_ = 0;
  std::int64_t reduced_ = 0;
  std::int64_t gathered_ = 0;
};

}  // namespace trireme
