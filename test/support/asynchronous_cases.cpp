// SPDX-License-Identifier: Apache-2.0
// Reduce-scatters and all-gathers under way: equal bits in any order, division and type.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

#include "trireme/core/convert.hpp"

#include "communicator_cases.hpp"

namespace trireme::test {

namespace {

/// A vector whose element type is known only at run time.
class Array {
 public:
  Array(DType type, std::int64_t n)
      : type_(type), n_(n), bytes_(static_cast<std::size_t>(n) * size_of(type)) {}

  [[nodiscard]] View view() { return {bytes_.data(), type_, Shape{n_}}; }
  [[nodiscard]] View part(std::int64_t begin, std::int64_t n) {
    return view().slice_cols(begin, n);
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  [[nodiscard]] double get(std::int64_t i) const {
    const std::byte* const at = bytes_.data() + static_cast<std::size_t>(i) * size_of(type_);
    double wide = 0;
    float single = 0;
    if (type_ == DType::f64) {
      std::memcpy(&wide, at, sizeof wide);
      return wide;
    }
    widen(type_, at, &single, 1);
    return static_cast<double>(single);
  }
  void set(std::int64_t i, double value) {
    std::byte* const at = bytes_.data() + static_cast<std::size_t>(i) * size_of(type_);
    if (type_ == DType::f64) {
      std::memcpy(at, &value, sizeof value);
    } else {
      const auto rounded = static_cast<float>(value);
      narrow(&rounded, type_, at, 1);
    }
  }

 private:
  DType type_;
  std::int64_t n_;
  std::vector<std::byte> bytes_;
};

/// Values of many magnitudes, so that the order of a sum shows in its bits.
Array numbers(DType type, std::int64_t n, int seed, int rank) {
  std::mt19937_64 random(static_cast<std::uint64_t>(seed) * 1000 +
                         static_cast<std::uint64_t>(rank));
  std::uniform_real_distribution<double> mantissa(-1, 1);
  std::uniform_int_distribution<int> exponent(-6, 6);
  Array a(type, n);
  for (std::int64_t i = 0; i < n; ++i) a.set(i, std::ldexp(mantissa(random), exponent(random)));
  return a;
}

struct Types {
  DType from, to;
};
const std::vector<Types> kTypes{{DType::f32, DType::f32},  {DType::f32, DType::f64},
                                {DType::f64, DType::f64},  {DType::f64, DType::f32},
                                {DType::bf16, DType::f32}, {DType::bf16, DType::f64},
                                {DType::f16, DType::f32},  {DType::bf16, DType::bf16},
                                {DType::f16, DType::f16},  {DType::f16, DType::f64}};

/// A collective under way, with the result that it must have.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual RequestPtr start(Communicator& group) = 0;
  [[nodiscard]] virtual bool right() const = 0;
};

class ReduceScatter : public Exchange {
 public:
  ReduceScatter(const Communicator& group, Types types, std::int64_t block, bool accumulate,
                int seed)
      : from_(numbers(types.from, block * group.size(), seed, group.rank())),
        to_(numbers(types.to, block, seed + 1, group.rank())),
        expected_(to_),
        accumulate_(accumulate) {
    std::vector<Array> all;
    for (int r = 0; r < group.size(); ++r) {
      all.push_back(numbers(types.from, block * group.size(), seed, r));
    }
    for (std::int64_t i = 0; i < block; ++i) {
      const double before = accumulate ? to_.get(i) : 0;
      const std::int64_t at = block * group.rank() + i;
      expected_.set(i, types.from == DType::f64 ? serial<double>(all, at, before, types.to)
                                                : serial<float>(all, at, before, types.to));
    }
  }
  RequestPtr start(Communicator& group) override {
    return group.start_reduce_scatter(from_.view(), to_.view(), accumulate_);
  }
  [[nodiscard]] bool right() const override { return to_.bytes() == expected_.bytes(); }

 private:
  template <class A>
  static double serial(const std::vector<Array>& all, std::int64_t at, double before,
                       DType to) {
    auto sum = static_cast<A>(all[0].get(at));
    for (std::size_t r = 1; r < all.size(); ++r) sum += static_cast<A>(all[r].get(at));
    if (to == DType::f64) return before + static_cast<double>(sum);
    return static_cast<double>(static_cast<A>(before) + sum);
  }
  Array from_;
  Array to_;
  Array expected_;
  bool accumulate_;
};

class AllGather : public Exchange {
 public:
  AllGather(const Communicator& group, DType type, std::int64_t block, bool in_place, int seed)
      : own_(numbers(type, block, seed, group.rank())),
        to_(type, block * group.size()),
        in_place_(in_place) {
    for (int r = 0; r < group.size(); ++r) {
      const Array part = numbers(type, block, seed, r);
      expected_.insert(expected_.end(), part.bytes().begin(), part.bytes().end());
    }
    if (in_place) {
      const View place = to_.part(block * group.rank(), block);
      std::memcpy(place.raw(), own_.bytes().data(), place.bytes());
    }
  }
  RequestPtr start(Communicator& group) override {
    const std::int64_t block = own_.view().count();
    return group.start_all_gather(
        in_place_ ? to_.part(block * group.rank(), block) : own_.view(), to_.view());
  }
  [[nodiscard]] bool right() const override { return to_.bytes() == expected_; }

 private:
  Array own_;
  Array to_;
  std::vector<std::byte> expected_;
  bool in_place_;
};

/// Sums fp32 in one array over ranks, span by span: an in-place scatter and an in-place
/// gather.
Array all_reduced_in_spans(Communicator& world, Array a, std::int64_t span) {
  const int ranks = world.size();
  const std::int64_t n = a.view().count();
  std::vector<RequestPtr> requests;
  const auto each_span = [&](auto start) {
    for (std::int64_t at = 0; at < n; at += span) {
      const View all = a.part(at, std::min(span, n - at));
      const std::int64_t block = all.count() / ranks;
      requests.push_back(start(all, all.slice_cols(block * world.rank(), block)));
    }
    for (auto& r : requests) r->wait();
    requests.clear();
  };
  each_span([&](const View& all, const View& mine) {
    return world.start_reduce_scatter(all, mine, false);
  });
  each_span(
      [&](const View& all, const View& mine) { return world.start_all_gather(mine, all); });
  return a;
}

void sleep_a_little(std::mt19937_64& random) {
  if (random() % 4 == 0) usleep(static_cast<useconds_t>(random() % 300));
}

void sums_of_every_type_and_size_have_the_bits_of_a_serial_sum(Communicator& world) {
  int seed = 0;
  for (Communicator* group : {&world}) {
    for (const Types types : kTypes) {
      for (const bool accumulate : {false, true}) {
        for (const std::int64_t block : {0, 1, 7, 2048, 4099}) {
          ReduceScatter e(*group, types, block, accumulate, seed += 2);
          e.start(*group)->wait();
          must(e.right());
        }
      }
    }
  }
}

void gathers_bring_every_block_in_place_or_not(Communicator& world) {
  int seed = 0;
  for (Communicator* group : {&world}) {
    for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::f16}) {
      for (const bool in_place : {false, true}) {
        for (const std::int64_t block : {0, 1, 7, 6151}) {
          AllGather e(*group, type, block, in_place, ++seed);
          e.start(*group)->wait();
          must(e.right());
        }
      }
    }
  }
}

void bits_do_not_depend_on_how_an_array_is_cut(Communicator& world) {
  for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::f16}) {
    const std::int64_t n = std::int64_t{10007} * world.size();
    const Array mine = numbers(type, n, 5, world.rank());
    const Array whole = all_reduced_in_spans(world, mine, n);
    must((whole.bytes() != mine.bytes() || world.size() == 1));
    for (const std::int64_t parts : {1, 2, 13, 200}) {
      const std::int64_t span = (n / world.size() + parts - 1) / parts * world.size();
      must((all_reduced_in_spans(world, mine, span).bytes() == whole.bytes()));
    }
  }
}

void many_in_flight_done_in_any_order_by_late_ranks(Communicator& world) {
  const auto ranks = static_cast<unsigned>(world.size());
  const auto half = world.split(world.rank() % 2, world.rank());
  for (int round = 0; round < 8; ++round) {
    std::mt19937_64 same(static_cast<std::uint64_t>(round));  // equal on all ranks
    std::mt19937_64 own(static_cast<std::uint64_t>(round * 100 + world.rank()));
    std::vector<std::unique_ptr<Exchange>> exchanges;
    std::vector<Communicator*> groups;
    for (int i = 0; i < 24; ++i) {
      Communicator& group = same() % 3 == 0 ? *half : world;
      const auto block =
          static_cast<std::int64_t>(same() % (i % 4 == 0 ? 40000U / ranks : 500U)) + 1;
      const Types types = kTypes[same() % kTypes.size()];
      const bool flag = same() % 2 == 0;
      const int seed = (round * 24 + i) * 2 + 1;
      groups.push_back(&group);
      if (same() % 3 == 0) {
        exchanges.push_back(std::make_unique<AllGather>(group, types.from, block, flag, seed));
      } else {
        exchanges.push_back(std::make_unique<ReduceScatter>(group, types, block, flag, seed));
      }
    }
    std::vector<RequestPtr> requests;
    for (std::size_t i = 0; i < exchanges.size(); ++i) {
      sleep_a_little(own);
      requests.push_back(exchanges[i]->start(*groups[i]));
      (void)requests[own() % requests.size()]->test();
    }
    std::vector<std::size_t> order(requests.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), own);
    for (const std::size_t i : order) {
      sleep_a_little(own);
      if (own() % 2 == 0) {
        while (!requests[i]->test()) sleep_a_little(own);
      }
      requests[i]->wait();
      must(requests[i]->test());
      must(exchanges[i]->right());
      requests[i].reset();
    }
  }
}

void halves_are_reduced_in_fp32_and_rounded_once(Communicator& world) {
  const int ranks = world.size();
  for (const DType type : {DType::bf16, DType::f16}) {
    const double big = type == DType::bf16 ? 256 : 2048;  // next numbers are 2 apart
    const std::int64_t n = 20011;  // not a multiple of any number of ranks
    const auto mine = [&] {
      Array a(type, n);
      for (std::int64_t i = 0; i < n; ++i) a.set(i, world.rank() == i % ranks ? big : 1);
      return a;
    };
    Array sum(type, n);
    for (std::int64_t i = 0; i < n; ++i) sum.set(i, big + ranks - 1);
    Array a = mine();
    world.all_reduce(a.view(), Reduction::sum);
    must((a.bytes() == sum.bytes()));
    Array small = mine();
    world.all_reduce(small.part(0, 101), Reduction::sum);
    for (std::int64_t i = 0; i < 101; ++i) must(small.get(i) == sum.get(i));

    Array most = mine();
    Array least = mine();
    world.all_reduce(most.view(), Reduction::max);
    world.all_reduce(least.view(), Reduction::min);
    for (std::int64_t i = 0; i < n; ++i) {
      must(most.get(i) == big);
      must(least.get(i) == (ranks == 1 ? big : 1));
    }

    Array all(type, std::int64_t{11} * ranks);
    for (std::int64_t i = 0; i < 11 * ranks; ++i) all.set(i, world.rank() == 0 ? big : 1);
    Array block(type, 11);
    world.reduce_scatter(all.view(), block.view());
    for (std::int64_t i = 0; i < 11; ++i) must(block.get(i) == sum.get(i));
  }
}

void wrong_types_and_shapes_are_refused_with_the_reason(Communicator& world) {
  for (Communicator* group : {&world}) {
    const std::int64_t n = group->size();
    const auto sum = [&](View from, View to, bool accumulate) {
      return message_of([&] { group->start_reduce_scatter(from, to, accumulate)->wait(); });
    };
    const auto gather = [&](View from, View to) {
      return message_of([&] { group->start_all_gather(from, to)->wait(); });
    };
    Array f32(DType::f32, 4 * n);
    Array f64(DType::f64, 4 * n);
    Array f16(DType::f16, 4 * n);
    Array bf16(DType::bf16, 4 * n);
    Array i32(DType::i32, 4 * n);
    Array block(DType::f32, 4);
    const View matrix = block.view().reshape(Shape{2, 2});
    const std::int64_t own = 4 * group->rank();

    must(sum(f32.view(), block.part(0, 3), false).find("blocks of [1, 3]") !=
         std::string::npos);
    must(sum(f32.part(0, 2 * n), matrix.slice_cols(0, 1), false).find("[2, 1]") !=
         std::string::npos);
    must(sum(i32.view(), block.view(), false).find("sum over ranks of int32") !=
         std::string::npos);
    must(sum(f64.view(), bf16.part(0, 4), false).find("of fp64 into bf16") !=
         std::string::npos);
    must(sum(f32.view(), f32.part(own, 4), true).find("the same memory") != std::string::npos);
    if (n > 1) {
      const View others = f32.part(4 * ((group->rank() + 1) % n), 4);
      must(sum(f32.view(), others, false).find("the same memory") != std::string::npos);
      must(gather(others, f32.view()).find("not this rank's block") != std::string::npos);
    }
    must(gather(block.part(0, 3), f32.view()).find("blocks of [1, 3]") != std::string::npos);
    must(gather(f16.part(0, 4), f32.view()).find("fp16 in an array of fp32") !=
         std::string::npos);
  }
}

void a_block_that_is_too_long_is_refused(Communicator& world) {
  const std::int64_t block = std::int64_t{1} << 30;
  const std::int64_t n = block * world.size();
  const auto bytes = static_cast<std::size_t>(n + block) * 2;  // address space only, no memory
  void* const memory =
      mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  must(memory != MAP_FAILED);
  const View all(memory, DType::bf16, Shape{n});
  const View one(static_cast<std::byte*>(memory) + all.bytes(), DType::bf16, Shape{block});
  const auto sum = message_of([&] { world.start_reduce_scatter(all, one, false)->wait(); });
  const auto gather = message_of([&] { world.start_all_gather(one, all)->wait(); });
  must(sum.find("1073741824 elements is too large") != std::string::npos);
  must(gather.find("1073741824 elements is too large") != std::string::npos);
  munmap(memory, bytes);
}

}  // namespace

std::vector<CommunicatorCase> asynchronous_cases() {
  return {
      {"sums of every type and size have the bits of a serial sum",
       sums_of_every_type_and_size_have_the_bits_of_a_serial_sum},
      {"gathers bring every block in place or not", gathers_bring_every_block_in_place_or_not},
      {"bits do not depend on how an array is cut", bits_do_not_depend_on_how_an_array_is_cut},
      {"many in flight done in any order by late ranks",
       many_in_flight_done_in_any_order_by_late_ranks},
      {"halves are reduced in fp32 and rounded once",
       halves_are_reduced_in_fp32_and_rounded_once},
      {"wrong types and shapes are refused with the reason",
       wrong_types_and_shapes_are_refused_with_the_reason},
      {"a block that is too long is refused", a_block_that_is_too_long_is_refused, false}};
}

}  // namespace trireme::test
