// SPDX-License-Identifier: Apache-2.0
// Chunks that stay in the first-level cache: widened, summed, rounded, written.
#include "rank_sum.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "trireme/core/convert.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kChunk = 2048;

bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }
bool is_float(DType t) { return is_half(t) || t == DType::f32 || t == DType::f64; }

template <class Byte>
Byte* element(Byte* base, std::int64_t i, DType t) {
  return base + static_cast<std::size_t>(i) * size_of(t);
}

template <class A>
using Room = std::array<A, static_cast<std::size_t>(kChunk)>;

/// Elements at `from` as A, where they are or widened into `room`.
template <class A>
const A* as(const std::byte* from, DType t, std::int64_t n, Room<A>& room) {
  if constexpr (std::is_same_v<A, float>) {
    if (is_half(t)) {
      widen(t, from, room.data(), n);
      return room.data();
    }
  }
  return reinterpret_cast<const A*>(from);
}

template <class To, class A>
void put(const A* sum, To* to, std::int64_t n, bool accumulate) {
  using Wide = std::common_type_t<A, To>;
  if (accumulate) {
    for (std::int64_t i = 0; i < n; ++i) {
      to[i] = static_cast<To>(static_cast<Wide>(to[i]) + static_cast<Wide>(sum[i]));
    }
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(sum[i]);
  }
}

void put_half(float* sum, DType t, std::byte* to, std::int64_t n, bool accumulate) {
  if (accumulate) {
    Room<float> before;
    widen(t, to, before.data(), n);
    for (std::int64_t i = 0; i < n; ++i) sum[i] += before[static_cast<std::size_t>(i)];
  }
  narrow(sum, t, to, n);
}

/// One chunk of all blocks, at `at`.
template <class A>
void sum_chunk(const std::vector<const void*>& blocks, DType from, std::byte* to, DType to_type,
               std::int64_t at, std::int64_t n, bool accumulate) {
  Room<A> sums;
  Room<A> a_room;
  Room<A> b_room;
  const auto block = [&](std::size_t r, Room<A>& room) {
    return as<A>(element(static_cast<const std::byte*>(blocks[r]), at, from), from, n, room);
  };
  const bool in_place = to_type == kDTypeOf<A> && !accumulate;
  A* const sum = in_place ? reinterpret_cast<A*>(to) : sums.data();
  const A* const first = block(0, a_room);
  if (blocks.size() == 1) {
    std::copy_n(first, n, sum);
  } else {
    const A* const second = block(1, b_room);
    for (std::int64_t i = 0; i < n; ++i) sum[i] = first[i] + second[i];
  }
  for (std::size_t r = 2; r < blocks.size(); ++r) {
    const A* const next = block(r, a_room);
    for (std::int64_t i = 0; i < n; ++i) sum[i] += next[i];
  }
  if (in_place) return;
  if (to_type == DType::f32) return put(sum, reinterpret_cast<float*>(to), n, accumulate);
  if (to_type == DType::f64) return put(sum, reinterpret_cast<double*>(to), n, accumulate);
  if constexpr (std::is_same_v<A, float>) put_half(sum, to_type, to, n, accumulate);
}

}  // namespace

void check_reduce_scatter(const ConstView& from, const View& to, int ranks) {
  TRM_CHECK(from.contiguous() && to.contiguous() && from.count() == to.count() * ranks,
            "a sum of {} blocks of {} in {}", ranks, to.shape().str(), from.shape().str());
  TRM_CHECK(is_float(from.dtype()) && (to.dtype() == DType::f32 || to.dtype() == DType::f64 ||
                                       to.dtype() == from.dtype()),
            "a sum over ranks from {} into {}", name_of(from.dtype()), name_of(to.dtype()));
  const std::less<> before;
  const auto* const a = static_cast<const std::byte*>(from.raw());
  const auto* const b = static_cast<const std::byte*>(to.raw());
  TRM_CHECK(to.empty() || !before(a, b + to.bytes()) || !before(b, a + from.bytes()),
            "a sum over ranks into the array of {} that is summed", from.shape().str());
}

void sum_in_rank_order(const std::vector<const void*>& blocks, DType from, const View& to,
                       bool accumulate) {
  auto* const base = static_cast<std::byte*>(to.raw());
  for (std::int64_t at = 0; at < to.count(); at += kChunk) {
    const std::int64_t n = std::min(kChunk, to.count() - at);
    std::byte* const out = element(base, at, to.dtype());
    if (accumulator_type(from) == DType::f64) {
      sum_chunk<double>(blocks, from, out, to.dtype(), at, n, accumulate);
    } else {
      sum_chunk<float>(blocks, from, out, to.dtype(), at, n, accumulate);
    }
  }
}

}  // namespace trireme
