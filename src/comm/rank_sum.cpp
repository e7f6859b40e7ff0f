// SPDX-License-Identifier: Apache-2.0
// Sums a chunk at a time in the first-level cache: widened, added, rounded, written.
#include "rank_sum.hpp"

#include <algorithm>
#include <array>

#include "trireme/core/convert.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kChunk = 2048;

template <class A>
using Room = std::array<A, static_cast<std::size_t>(kChunk)>;

template <class Byte>
Byte* element(Byte* base, std::int64_t i, DType t) {
  return base + static_cast<std::size_t>(i) * size_of(t);
}

/// to[i] = f(i). The loops read and write one element at a time, so that an array may stand on
/// both sides. Without ivdep GCC would take loops without vectors.
template <class To, class F>
void fill(To* to, std::int64_t n, F f) {
#ifndef __clang__  // Clang vectorizes the loop without the pragma
#pragma GCC ivdep
#endif
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(f(i));
}

/// One chunk of every block.
template <class A>
class Chunk {
 public:
  Chunk(const std::vector<const void*>& blocks, DType type, std::int64_t at, std::int64_t n)
      : blocks_(blocks), type_(type), at_(at), n_(n) {}

  /// Only the last addition writes to `to`, because `to` may be one of the blocks.
  void write(std::byte* to, DType type, bool accumulate) {
    if (type == DType::f32) {
      write_to(reinterpret_cast<float*>(to), accumulate);
    } else if (type == DType::f64) {
      write_to(reinterpret_cast<double*>(to), accumulate);
    } else if constexpr (std::is_same_v<A, float>) {
      if (accumulate) widen(type, to, before_.data(), n_);
      write_to(before_.data(), accumulate);
      narrow(before_.data(), type, to, n_);
    }
  }

 private:
  template <class To>
  void write_to(To* to, bool accumulate) {
    using Wide = std::common_type_t<A, To>;
    const A* const a = all_but_last();
    if (a == nullptr) {
      const A* const b = block(0, wide_);
      if (accumulate) {
        fill(to, n_, [=](auto i) { return Wide{to[i]} + Wide{b[i]}; });
      } else {
        fill(to, n_, [=](auto i) { return b[i]; });
      }
      return;
    }
    const A* const b = block(blocks_.size() - 1, wide_);
    if (accumulate) {
      fill(to, n_, [=](auto i) { return Wide{to[i]} + Wide{a[i] + b[i]}; });
    } else {
      fill(to, n_, [=](auto i) { return a[i] + b[i]; });
    }
  }

  /// The sum of all blocks but the last; null if there is one block only.
  const A* all_but_last() {
    if (blocks_.size() == 1) return nullptr;
    const A* sum = block(0, sum_);
    for (std::size_t r = 1; r + 1 < blocks_.size(); ++r) {
      const A* const b = block(r, wide_);
      fill(sum_.data(), n_, [=](auto i) { return sum[i] + b[i]; });
      sum = sum_.data();
    }
    return sum;
  }

  /// Elements of block `r`: in place, or widened into `room`.
  const A* block(std::size_t r, Room<A>& room) {
    const std::byte* const from =
        element(static_cast<const std::byte*>(blocks_[r]), at_, type_);
    if (type_ == kDTypeOf<A>) return reinterpret_cast<const A*>(from);
    if constexpr (std::is_same_v<A, float>) widen(type_, from, room.data(), n_);
    return room.data();
  }

  const std::vector<const void*>& blocks_;
  DType type_;
  std::int64_t at_;
  std::int64_t n_;
  Room<A> sum_;
  Room<A> wide_;
  Room<float> before_;
};

}  // namespace

void sum_in_rank_order(const std::vector<const void*>& blocks, DType from, const View& to,
                       bool accumulate) {
  for (std::int64_t at = 0; at < to.count(); at += kChunk) {
    const std::int64_t n = std::min(kChunk, to.count() - at);
    std::byte* const out = element(static_cast<std::byte*>(to.raw()), at, to.dtype());
    if (accumulator_type(from) == DType::f64) {
      Chunk<double>(blocks, from, at, n).write(out, to.dtype(), accumulate);
    } else {
      Chunk<float>(blocks, from, at, n).write(out, to.dtype(), accumulate);
    }
  }
}

}  // namespace trireme
