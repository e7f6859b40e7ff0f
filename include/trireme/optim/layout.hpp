// SPDX-License-Identifier: Apache-2.0
// How a rank's parameters lie in flat groups, and how each group is sharded over dp. Pure.
//
// A group is what is gathered and reduced together: the parameters of one unit. Small
// parameters stay whole at stage 3, and form a group of their own. The token embedding has its
// own group too, so that the first and the last stage of a pipeline shard it alike. Parameters
// whose gradients are summed over tp form one group per model part. This group stays whole at
// stage 3, and all ranks of tp shard it alike. Frozen parameters stand in groups apart, which
// have values alone. A collective moves one span of a group, and rank r of dp owns block r of
// each span. All stages of ZeRO share one layout, so that the bits of a
// sum don't depend on the stage.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "trireme/model/transformer.hpp"
#include "trireme/tensor/stored_array.hpp"

namespace trireme {

/// Consecutive elements of a parameter in one rank's block.
struct FlatSlice {
  Parameter* parameter = nullptr;
  std::int64_t first = 0;  ///< element of the parameter's own array
  std::int64_t count = 0;
  std::int64_t in_group = 0;  ///< where the slice begins in an array of the whole group
  std::int64_t in_own = 0;    ///< ... and in an array of this rank's blocks alone
};

struct FlatSpan {
  std::int64_t offset = 0;  ///< in the group
  std::int64_t block = 0;   ///< elements of one rank
};

struct FlatGroup {
  std::vector<Parameter*> parameters;
  std::vector<std::int64_t> offsets;  ///< aligned, in parameters' order; gaps stay zero
  std::vector<FlatSpan> spans;
  std::int64_t count = 0;  ///< with gaps: a multiple of align · ranks of dp
  bool stays_whole = false;
  bool trains = true;  ///< false: all its parameters are frozen
  UnitPlace owner;     ///< the last unit in backward that adds to its gradients
};

class FlatLayout {
 public:
  /// `parts` must outlive the layout. Spans have at most `bucket` elements, but a block has at
  /// least `align`. Parameters and blocks begin at multiples of `align`. Parameters of at most
  /// `threshold` elements stay whole at stage 3.
  FlatLayout(const std::vector<std::unique_ptr<ModelPart>>& parts, int ranks,
             std::int64_t bucket, std::int64_t threshold, std::int64_t align = kAlign);

  static constexpr std::int64_t kAlign = 16;

  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] const std::vector<FlatGroup>& groups() const { return groups_; }
  /// Numbers of the groups that a unit's parameters lie in.
  [[nodiscard]] const std::vector<std::size_t>& groups_of(const UnitPlace& unit) const {
    return of_unit_[unit.part][unit.unit];
  }
  /// The slices of a group that rank `rank` of dp owns, in order.
  [[nodiscard]] std::vector<FlatSlice> slices(std::size_t group, int rank) const;
  /// The slices of a whole array: one slice for each parameter of the group.
  [[nodiscard]] std::vector<FlatSlice> whole_slices(std::size_t group) const;
  /// Elements of all groups, with gaps.
  [[nodiscard]] std::int64_t count() const;
  /// Each parameter once, in the order of the model.
  [[nodiscard]] const std::vector<Parameter*>& parameters() const { return parameters_; }

 private:
  void add_part(std::size_t number, ModelPart& part, std::int64_t threshold);
  void finish(FlatGroup& group, std::int64_t bucket) const;

  int ranks_;
  std::int64_t align_;
  std::vector<Parameter*> parameters_;
  std::vector<FlatGroup> groups_;
  std::vector<std::vector<std::vector<std::size_t>>> of_unit_;  ///< [part][unit]
};

/// An array with an element for each element of a group, or of one rank's blocks. The elements
/// are in memory, or in a file or in fewer bits.
struct FlatArray {
  Tensor data;  ///< undefined if the elements are stored
  bool whole = true;
  std::shared_ptr<StoredArray> stored = nullptr;  ///< null if the elements are in memory

  /// Zeros for all elements of the group, or for the blocks that one of `ranks` ranks owns.
  static FlatArray zeros(const Exec& ex, DType dtype, const FlatGroup& group, bool whole,
                         int ranks);
  [[nodiscard]] bool defined() const { return stored || data.defined(); }
  [[nodiscard]] DType dtype() const { return stored ? stored->dtype() : data.dtype(); }
  [[nodiscard]] std::int64_t place(const FlatSlice& slice) const {
    return whole ? slice.in_group : slice.in_own;
  }
  /// A slice in memory.
  [[nodiscard]] View part(const FlatSlice& slice) const;
  /// Calls f(part, first) for stretches of a slice, in order: the elements from number `first`
  /// on. A part is a window on the array, or a copy of what the file holds.
  void read(const Exec& ex, const FlatSlice& slice,
            const std::function<void(const View& part, std::int64_t first)>& f) const;
  /// Rounds `from` to elements from number `first` of a slice on.
  void put(const Exec& ex, const View& from, const FlatSlice& slice, std::int64_t first) const;
  /// Rank `rank`'s block of a span. An array that isn't whole has its own rank's block alone.
  [[nodiscard]] View block(const FlatSpan& span, int rank, int ranks) const;
  /// All blocks of a span. Whole arrays only.
  [[nodiscard]] View all_blocks(const FlatSpan& span, int ranks) const;
  /// Bytes in memory.
  [[nodiscard]] std::size_t bytes() const { return data.defined() ? data.view().bytes() : 0; }
};

/// `count` elements from `first` on of a contiguous array, as a flat window.
[[nodiscard]] View flat_window(const View& array, std::int64_t first, std::int64_t count);

}  // namespace trireme
