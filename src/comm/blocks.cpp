// SPDX-License-Identifier: Apache-2.0
// Counts, types and memory of blocks.
#include "trireme/comm/blocks.hpp"

#include <functional>

namespace trireme {

namespace {

void check_counts(const ConstView& block, const ConstView& all, int ranks) {
  TRM_CHECK(block.contiguous() && all.contiguous() && all.count() == block.count() * ranks,
            "blocks of {} in {} over {} ranks", block.shape().str(), all.shape().str(), ranks);
}

void check_same_type(const ConstView& block, const ConstView& all) {
  TRM_CHECK(block.dtype() == all.dtype(), "a block of {} in an array of {}",
            name_of(block.dtype()), name_of(all.dtype()));
}

bool share_memory(const ConstView& a, const ConstView& b) {
  if (a.empty() || b.empty()) return false;
  const auto* const a0 = static_cast<const std::byte*>(a.raw());
  const auto* const b0 = static_cast<const std::byte*>(b.raw());
  const std::less<> before;  // also of pointers into different arrays
  return before(a0, b0 + b.bytes()) && before(b0, a0 + a.bytes());
}

}  // namespace

ConstView block_of(const ConstView& all, int rank, int ranks) {
  const std::int64_t count = all.count() / ranks;
  return all.reshape(Shape{all.count()}).slice_cols(count * rank, count);
}

void check_all_gather(const ConstView& from, const ConstView& to, int rank, int ranks) {
  check_counts(from, to, ranks);
  check_same_type(from, to);
  TRM_CHECK(!share_memory(from, to) || from.raw() == block_of(to, rank, ranks).raw(),
            "a gather into {} of a window in it that is not this rank's block",
            to.shape().str());
}

void check_reduce_scatter(const ConstView& from, const ConstView& to, int ranks) {
  check_counts(to, from, ranks);
  check_same_type(to, from);
}

void check_reduce_scatter(const ConstView& from, const ConstView& to, bool accumulate, int rank,
                          int ranks) {
  check_counts(to, from, ranks);
  TRM_CHECK(floating(from.dtype()) && floating(to.dtype()) &&
                (from.dtype() != DType::f64 || size_of(to.dtype()) >= sizeof(float)),
            "a sum over ranks of {} into {}", name_of(from.dtype()), name_of(to.dtype()));
  const bool in_place = !accumulate && to.dtype() == from.dtype() &&
                        to.raw() == block_of(from, rank, ranks).raw();
  TRM_CHECK(in_place || !share_memory(from, to),
            "a sum over ranks of {} into the same memory, but not in place of block {}",
            from.shape().str(), rank);
}

}  // namespace trireme
