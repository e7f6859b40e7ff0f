// SPDX-License-Identifier: Apache-2.0
// A group's two moments, in 8 bits for large parameters and in fp32 for small ones. Arrays hold
// the elements that this rank updates, without gaps between parameters.
//
// Parameters and blocks of ZeRO begin at multiples of eight_bit::kBlock. Each block of codes
// therefore has one owner, and equal elements for every number of data-parallel ranks.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "trireme/optim/layout.hpp"

namespace trireme {

class EightBitState : public std::enable_shared_from_this<EightBitState> {
 public:
  /// Consecutive elements that one update treats alike.
  struct Run {
    FlatSlice slice;
    bool coded = false;
  };

  /// `whole`: the runs are those of the whole group, and else of this rank's blocks. Moments
  /// begin as zeros.
  EightBitState(const Exec& ex, const std::vector<Run>& runs, bool whole);

  /// Arrays of a part of a run, as an update takes them. A coded part begins at a block, and
  /// has codes and scales of the first moment and then of the second. Other parts have two
  /// arrays.
  [[nodiscard]] std::vector<View> views(const FlatSlice& part) const;
  /// Moment 0 or 1 as fp32 elements. Codes are read in the form that gives them back to the
  /// bit. The elements of a slice are written in order.
  [[nodiscard]] std::shared_ptr<StoredArray> moment(int number);
  [[nodiscard]] std::size_t bytes() const;

 private:
  class Moment;
  struct Home {
    std::int64_t first = 0;  ///< place in an array of the group or of this rank's blocks
    std::int64_t count = 0;
    bool coded = false;
    std::int64_t at = 0;  ///< place in the codes, or in the fp32 array
  };

  [[nodiscard]] const Home& home_of(std::int64_t place) const;

  bool whole_;
  std::vector<Home> homes_;  ///< in order
  std::array<Tensor, 2> codes_;
  std::array<Tensor, 2> scales_;
  std::array<Tensor, 2> wide_;  ///< fp32
};

}  // namespace trireme
