// SPDX-License-Identifier: Apache-2.0
// Sums in the orders of MpiCommunicator, and copies.
#include "rank_meeting.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "trireme/core/convert.hpp"

namespace trireme::test {

namespace {

constexpr std::int64_t kLongHalves =
    8192;  // longer sums in half precision are taken in rank order

bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }

template <class T>
T reduced(T a, T b, Reduction op) {
  return op == Reduction::sum   ? static_cast<T>(a + b)
         : op == Reduction::max ? std::max(a, b)
                                : std::min(a, b);
}

template <class T>
void reduce_into(std::vector<T>& to, const std::vector<T>& from, Reduction op) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = reduced(to[i], from[i], op);
}

/// Adds by recursive doubling, as Open MPI does. Ranks beyond a power of two are added to their
/// neighbours first.
template <class T>
std::vector<T> doubled(std::vector<std::vector<T>> parts, Reduction op) {
  std::size_t power = 1;
  while (power * 2 <= parts.size()) power *= 2;
  const std::size_t extra = parts.size() - power;
  std::vector<std::vector<T>> rest;
  for (std::size_t r = 0; r < parts.size(); ++r) {
    if (r < 2 * extra && r % 2 == 0) continue;
    if (r < 2 * extra) reduce_into(parts[r], parts[r - 1], op);
    rest.push_back(std::move(parts[r]));
  }
  for (std::size_t step = 1; step < power; step *= 2) {
    for (std::size_t r = 0; r < power; r += 2 * step) reduce_into(rest[r], rest[r + step], op);
  }
  return std::move(rest[0]);
}

template <class T>
std::vector<T> in_rank_order(const std::vector<std::vector<T>>& parts) {
  std::vector<T> sum = parts[0];
  for (std::size_t r = 1; r < parts.size(); ++r) reduce_into(sum, parts[r], Reduction::sum);
  return sum;
}

/// Returns the elements as T, their own type; half precision is widened to float.
template <class T>
std::vector<T> values(const ConstView& v) {
  std::vector<T> out(static_cast<std::size_t>(v.count()));
  if (v.dtype() == kDTypeOf<T>) {
    if (!out.empty()) std::memcpy(out.data(), v.raw(), v.bytes());
  } else if constexpr (std::is_same_v<T, float>) {
    widen(v.dtype(), v.raw(), out.data(), v.count());
  } else {
    TRM_CHECK(false, "a sum of {}", name_of(v.dtype()));
  }
  return out;
}

template <class T>
void write(const std::vector<T>& from, const View& to) {
  if (to.dtype() == kDTypeOf<T>) {
    if (!from.empty()) std::memcpy(to.raw(), from.data(), to.bytes());
  } else if constexpr (std::is_same_v<T, float>) {
    narrow(from.data(), to.dtype(), to.raw(), to.count());
  } else {
    TRM_CHECK(false, "a result of {}", name_of(to.dtype()));
  }
}

template <class T>
void all_reduce(std::vector<Post>& posts) {
  const Reduction op = posts[0].op;
  std::vector<std::vector<T>> parts;
  for (const Post& p : posts) parts.push_back(values<T>(p.to));
  std::vector<T> result = doubled(parts, op);
  const std::int64_t n = posts[0].to.count();
  if (is_half(posts[0].to.dtype()) && op == Reduction::sum && n >= kLongHalves) {
    const auto ranks = static_cast<std::int64_t>(posts.size());
    const auto ordered = in_rank_order(parts);
    std::copy_n(ordered.begin(), n / ranks * ranks, result.begin());
  }
  for (const Post& p : posts) write(result, p.to);
}

void all_reduce_of_type(std::vector<Post>& posts) {
  switch (posts[0].to.dtype()) {
    case DType::f64:
      return all_reduce<double>(posts);
    case DType::f32:
    case DType::f16:
    case DType::bf16:
      return all_reduce<float>(posts);
    case DType::i32:
      return all_reduce<std::int32_t>(posts);
    case DType::i64:
      return all_reduce<std::int64_t>(posts);
    case DType::u8:
      return all_reduce<std::uint8_t>(posts);
    case DType::u16:
      return all_reduce<std::uint16_t>(posts);
    case DType::u32:
      return all_reduce<std::uint32_t>(posts);
    case DType::u64:
      return all_reduce<std::uint64_t>(posts);
  }
}

ConstView block(const ConstView& all, std::size_t rank, std::size_t ranks) {
  const std::int64_t n = all.count() / static_cast<std::int64_t>(ranks);
  return all.reshape(Shape{all.count()}).slice_cols(n * static_cast<std::int64_t>(rank), n);
}

void copy(const ConstView& from, const View& to) {
  if (from.raw() != to.raw() && !from.empty()) std::memcpy(to.raw(), from.raw(), from.bytes());
}

/// Returns the blocks that rank `me` receives, copied through the rank's room if not empty.
template <class T>
std::vector<std::vector<T>> received(const std::vector<Post>& posts, std::size_t me) {
  const std::size_t ranks = posts.size();
  std::vector<std::vector<T>> parts;
  for (std::size_t r = 0; r < ranks; ++r) {
    ConstView part = block(posts[r].from, me, ranks);
    if (r != me && !posts[me].room.empty()) {
      const std::int64_t n = part.count();
      const auto place = static_cast<std::int64_t>((me + ranks - r) % ranks - 1);
      const View kept = posts[me]
                            .room.reshape(Shape{n * static_cast<std::int64_t>(ranks - 1)})
                            .slice_cols(n * place, n);
      copy(part, kept);
      part = kept;
    }
    parts.push_back(values<T>(part));
  }
  return parts;
}

/// Adds in the wider of both types, at least in fp32.
template <class T>
void sum_scattered(const std::vector<Post>& posts, std::size_t me) {
  std::vector<T> sum = in_rank_order(received<T>(posts, me));
  const View& to = posts[me].to;
  if (to.dtype() == DType::f64) {
    std::vector<double> wide(sum.begin(), sum.end());
    if (posts[me].accumulate) {
      const auto before = values<double>(to);
      for (std::size_t i = 0; i < wide.size(); ++i) wide[i] = before[i] + wide[i];
    }
    return write(wide, to);
  }
  if (posts[me].accumulate) {
    const auto before = values<float>(to);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = static_cast<T>(before[i]) + sum[i];
  }
  write(std::vector<float>(sum.begin(), sum.end()), to);
}

/// Adds integers, which have one type only.
template <class T>
void sum_whole(const std::vector<Post>& posts, std::size_t me) {
  write(in_rank_order(received<T>(posts, me)), posts[me].to);
}

void reduce_scatter(const std::vector<Post>& posts) {
  for (std::size_t me = 0; me < posts.size(); ++me) {
    switch (posts[me].from.dtype()) {
      case DType::f64:
        sum_scattered<double>(posts, me);
        break;
      case DType::i32:
        sum_whole<std::int32_t>(posts, me);
        break;
      case DType::i64:
        sum_whole<std::int64_t>(posts, me);
        break;
      default:
        sum_scattered<float>(posts, me);
    }
  }
}

void check_counts(const RankMeeting& e) {
  const bool message = e.call == Call::message;
  const auto of = [&](std::size_t i) -> ConstView {
    const Post& p = e.posts[i];
    return message && i == 1 ? ConstView(p.to) : p.from.raw() != nullptr ? p.from : p.to;
  };
  for (std::size_t i = 1; i < e.posts.size(); ++i) {
    TRM_CHECK(of(i).count() == of(0).count() && of(i).dtype() == of(0).dtype(),
              "{} of {} {} and of {} {}", name_of(e.call), of(0).count(),
              trireme::name_of(of(0).dtype()), of(i).count(), trireme::name_of(of(i).dtype()));
  }
}

}  // namespace

std::string_view name_of(Call call) {
  constexpr std::array<std::string_view, 8> kNames{
      "all_reduce", "all_gather", "reduce_scatter", "broadcast",
      "barrier",    "split",      "gather_text",    "a message"};
  return kNames[static_cast<std::size_t>(call)];
}

void check_same_call(Call first_call, const Post& first, Call later_call, const Post& later) {
  TRM_CHECK(first_call == later_call, "ranks of one group are in {} and {} at once",
            name_of(first_call), name_of(later_call));
  TRM_CHECK(first.root == later.root && first.op == later.op,
            "ranks of one group call {} with different roots or reductions",
            name_of(first_call));
}

void move(RankMeeting& e) {
  check_counts(e);
  auto& posts = e.posts;
  switch (e.call) {
    case Call::all_reduce:
      return all_reduce_of_type(posts);
    case Call::all_gather:
      for (std::size_t r = 0; r < posts.size(); ++r) {
        for (const Post& p : posts) {
          const std::int64_t n = posts[r].from.count();
          copy(posts[r].from, p.to.reshape(Shape{p.to.count()})
                                  .slice_cols(n * static_cast<std::int64_t>(r), n));
        }
      }
      return;
    case Call::reduce_scatter:
      return reduce_scatter(posts);
    case Call::broadcast:
      for (const Post& p : posts) copy(posts[static_cast<std::size_t>(p.root)].to, p.to);
      return;
    case Call::gather_text:
      for (const Post& p : posts) {
        posts[static_cast<std::size_t>(p.root)].texts->push_back(*p.text);
      }
      return;
    case Call::message:
      return copy(posts[0].from, posts[1].to);
    case Call::barrier:
    case Call::split:
      return;
  }
}

}  // namespace trireme::test
