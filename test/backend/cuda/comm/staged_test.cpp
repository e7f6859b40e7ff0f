// SPDX-License-Identifier: Apache-2.0
// Communication through pinned memory has the bits of the host's own, in order with the GPU's
// work.
#include <algorithm>
#include <cstring>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cuda.hpp"
#include "trireme/comm/mpi.hpp"
#include "trireme/core/convert.hpp"
#include "trireme/core/random.hpp"

namespace {

using namespace trireme;

using Bytes = std::vector<std::byte>;

/// Pseudo-random numbers of `type`, equal for equal seeds.
Bytes numbers(DType type, std::int64_t n, int seed) {
  std::vector<float> values(static_cast<std::size_t>(n));
  std::uint32_t state = 2654435761U * static_cast<std::uint32_t>(seed + 1);
  for (float& v : values) {
    state = state * 1664525U + 1013904223U;
    v = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-30F;
  }
  Bytes bytes(static_cast<std::size_t>(n) * size_of(type));
  if (type == DType::f64) {
    const std::vector<double> wide(values.begin(), values.end());
    std::memcpy(bytes.data(), wide.data(), bytes.size());
  } else {
    narrow(values.data(), type, bytes.data(), n);
  }
  return bytes;
}

View view_of(Bytes& bytes, DType type) {
  return {bytes.data(), type, Shape{static_cast<std::int64_t>(bytes.size() / size_of(type))}};
}

struct Gpu {
  std::unique_ptr<Device> device = make_cuda_device(0);
  std::unique_ptr<Stream> compute = device->make_stream();
};

/// A copy of `bytes` on the GPU, filled in the order of the compute stream.
class Mirror {
 public:
  Mirror(Gpu& gpu, const Bytes& bytes, DType type)
      : gpu_(gpu), source_(bytes), buffer_(*gpu.device, bytes.size()), type_(type) {
    gpu.device->copy_from_host(buffer_.data(), source_.data(), source_.size(), *gpu.compute);
  }
  [[nodiscard]] View view() const {
    return {buffer_.data(), type_,
            Shape{static_cast<std::int64_t>(source_.size() / size_of(type_))}};
  }
  /// Returns the bytes after the compute stream's queued work.
  [[nodiscard]] Bytes bytes() const {
    Bytes copy(source_.size());
    gpu_.device->copy_to_host(copy.data(), buffer_.data(), copy.size(), *gpu_.compute);
    gpu_.compute->synchronize();
    return copy;
  }

 private:
  Gpu& gpu_;
  Bytes source_;
  Buffer buffer_;
  DType type_;
};

constexpr DType kFloats[] = {DType::f32, DType::f64, DType::bf16, DType::f16};
constexpr std::int64_t kBlocks[] = {0, 1, 7, 6151};

Communicator& world() {
  static const auto all = world_communicator();
  return *all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(staged_communicator)

struct Staged {
  Gpu gpu;
  std::unique_ptr<Communicator> staged = make_staged_communicator(
      world().split(0, world().rank()), *gpu.device, *gpu.compute, false);
  int ranks = world().size();
  int rank = world().rank();
};

BOOST_FIXTURE_TEST_CASE(all_reduces, Staged) {
  int seed = 0;
  for (const DType type : kFloats) {
    for (const Reduction op : {Reduction::sum, Reduction::max, Reduction::min}) {
      for (const std::int64_t n : kBlocks) {
        Bytes expected = numbers(type, n, ++seed * 100 + rank);
        const Mirror mine(gpu, expected, type);
        staged->all_reduce(mine.view(), op);
        world().all_reduce(view_of(expected, type), op);
        BOOST_TEST((mine.bytes() == expected), name_of(type) << ", " << n);
      }
    }
  }
}

BOOST_FIXTURE_TEST_CASE(all_gathers_in_place_or_not, Staged) {
  int seed = 0;
  for (const DType type : kFloats) {
    for (const std::int64_t n : kBlocks) {
      Bytes mine = numbers(type, n, ++seed * 100 + rank);
      Bytes expected(mine.size() * static_cast<std::size_t>(ranks));
      world().all_gather(view_of(mine, type), view_of(expected, type));

      const Mirror from(gpu, mine, type);
      const Mirror to(gpu, Bytes(expected.size()), type);
      staged->all_gather(from.view(), to.view());
      BOOST_TEST((to.bytes() == expected), name_of(type) << ", " << n);

      Bytes whole(expected.size());
      std::memcpy(whole.data() + mine.size() * static_cast<std::size_t>(rank), mine.data(),
                  mine.size());
      const Mirror all(gpu, whole, type);
      staged->start_all_gather(all.view().slice_cols(n * rank, n), all.view())->wait();
      BOOST_TEST((all.bytes() == expected), name_of(type) << ", in place, " << n);
    }
  }
}

BOOST_FIXTURE_TEST_CASE(reduce_scatters_into_any_type, Staged) {
  int seed = 0;
  for (const DType from : kFloats) {
    for (const DType to : kFloats) {
      if (from == DType::f64 && (size_of(to) < sizeof(float))) continue;
      for (const bool accumulate : {false, true}) {
        for (const std::int64_t n : kBlocks) {
          Bytes source = numbers(from, n * ranks, ++seed * 100 + rank);
          Bytes expected = numbers(to, n, seed * 100 + rank + 50);
          const Mirror addends(gpu, source, from);
          const Mirror sum(gpu, expected, to);
          staged->start_reduce_scatter(addends.view(), sum.view(), accumulate)->wait();
          world()
              .start_reduce_scatter(view_of(source, from), view_of(expected, to), accumulate)
              ->wait();
          BOOST_TEST((sum.bytes() == expected), name_of(from)
                                                    << " to " << name_of(to) << ", " << n
                                                    << ", accumulate " << accumulate);
        }
      }
    }
    Bytes source = numbers(from, 77 * ranks, ++seed * 100 + rank);
    Bytes expected(77 * size_of(from));
    const Mirror addends(gpu, source, from);
    const Mirror sum(gpu, expected, from);
    staged->reduce_scatter(addends.view(), sum.view());
    world().reduce_scatter(view_of(source, from), view_of(expected, from));
    BOOST_TEST((sum.bytes() == expected), name_of(from));
  }
}

/// Two micro-batches overlap: the second reduce-scatter begins before the first is done.
BOOST_FIXTURE_TEST_CASE(reduce_scatters_under_way_add_to_the_same_sum, Staged) {
  int seed = 0;
  for (const DType from : {DType::f32, DType::bf16}) {
    for (const DType to : {DType::f32, DType::bf16}) {
      for (const std::int64_t n : kBlocks) {
        Bytes first = numbers(from, n * ranks, ++seed * 100 + rank);
        Bytes second = numbers(from, n * ranks, ++seed * 100 + rank);
        Bytes expected = numbers(to, n, seed * 100 + rank + 50);
        const Mirror a(gpu, first, from);
        const Mirror b(gpu, second, from);
        const Mirror sum(gpu, expected, to);
        const Mirror room(gpu,
                          Bytes(first.size() / static_cast<std::size_t>(ranks) *
                                static_cast<std::size_t>(ranks - 1)),
                          from);
        const auto one = staged->start_reduce_scatter(a.view(), sum.view(), true, room.view());
        const auto two = staged->start_reduce_scatter(b.view(), sum.view(), true);
        one->wait();
        two->wait();
        for (Bytes* addends : {&first, &second}) {
          world()
              .start_reduce_scatter(view_of(*addends, from), view_of(expected, to), true)
              ->wait();
        }
        BOOST_TEST((sum.bytes() == expected), name_of(from)
                                                  << " to " << name_of(to) << ", " << n);
      }
    }
  }
}

/// An error may end the run while a message is pending. The message arrives all the same.
BOOST_FIXTURE_TEST_CASE(memory_of_a_message_that_nobody_waits_for_is_not_used_again, Staged) {
  if (ranks == 1) return;
  constexpr std::size_t kBytes = 4000;
  const Mirror data(gpu, numbers(DType::f32, 1000, rank), DType::f32);
  staged->start_receive(data.view(), (rank + ranks - 1) % ranks, 9).reset();
  auto* const pinned = static_cast<std::byte*>(gpu.device->allocate_host(kBytes));
  std::fill_n(pinned, kBytes, std::byte{7});
  staged->barrier();
  staged->start_send(data.view(), (rank + 1) % ranks, 9)->wait();
  staged->barrier();
  BOOST_TEST((std::count(pinned, pinned + kBytes, std::byte{7}) == kBytes));
  gpu.device->release_host(pinned);
}

BOOST_FIXTURE_TEST_CASE(a_group_of_one_needs_no_host, Staged) {
  const auto self = make_self_communicator();
  const auto alone = staged->split(rank, 0);
  BOOST_TEST(alone->size() == 1);
  for (const DType from : {DType::f32, DType::bf16, DType::f16}) {
    for (const bool accumulate : {false, true}) {
      Bytes source = numbers(from, 4099, 3);
      Bytes expected = numbers(DType::f32, 4099, 4);
      const Mirror addends(gpu, source, from);
      const Mirror sum(gpu, expected, DType::f32);
      alone->start_reduce_scatter(addends.view(), sum.view(), accumulate)->wait();
      self->start_reduce_scatter(view_of(source, from), view_of(expected, DType::f32),
                                 accumulate)
          ->wait();
      BOOST_TEST((sum.bytes() == expected), name_of(from) << ", accumulate " << accumulate);
    }
    const Bytes data = numbers(from, 100, 8);
    const Mirror a(gpu, data, from);
    const Mirror b(gpu, Bytes(data.size()), from);
    alone->all_gather(a.view(), b.view());
    alone->all_reduce(b.view(), Reduction::sum);
    BOOST_TEST((b.bytes() == data));
  }
}

BOOST_FIXTURE_TEST_CASE(broadcasts_and_groups, Staged) {
  for (int root = 0; root < ranks; ++root) {
    const Mirror data(gpu, numbers(DType::bf16, 333, rank), DType::bf16);
    staged->broadcast(data.view(), root);
    BOOST_TEST((data.bytes() == numbers(DType::bf16, 333, root)));
  }
  const auto half = staged->split(rank % 2, -rank);
  BOOST_TEST(half->size() == (ranks + 1 - rank % 2) / 2);
  const Mirror ones(gpu, numbers(DType::f32, 10, rank % 2), DType::f32);
  Bytes expected = numbers(DType::f32, 10, rank % 2);
  half->all_reduce(ones.view(), Reduction::sum);
  world().split(rank % 2, -rank)->all_reduce(view_of(expected, DType::f32), Reduction::sum);
  BOOST_TEST((ones.bytes() == expected));
  BOOST_TEST(staged->reduce_count(rank, Reduction::max) == ranks - 1);
  BOOST_TEST(staged->broadcast_text(rank == 0 ? "word" : "", 0) == "word");
  BOOST_TEST(&staged->host() != staged.get());
}

/// The second broadcast's pinned memory must not be the first one's, which is still being
/// copied.
BOOST_FIXTURE_TEST_CASE(what_came_is_copied_before_its_memory_is_free, Staged) {
  for (int round = 0; round < 5; ++round) {
    const Mirror first(gpu, numbers(DType::f32, 500, rank), DType::f32);
    const Mirror second(gpu, numbers(DType::f32, 500, rank), DType::f32);
    staged->broadcast(first.view(), 0);
    staged->broadcast(second.view(), ranks - 1);
    staged->broadcast(second.view(), ranks - 1);
    BOOST_TEST((first.bytes() == numbers(DType::f32, 500, 0)));
    BOOST_TEST((second.bytes() == numbers(DType::f32, 500, ranks - 1)));
  }
}

/// MPI reads and writes the GPU's memory. The emulator's lies in the host's, which any MPI
/// takes.
BOOST_AUTO_TEST_CASE(messages_and_broadcasts_without_host_memory) {
  Gpu gpu;
  const bool emulated = gpu.device->name().find("Emulated") != std::string::npos;
  if (!emulated && !mpi_takes_gpu_memory()) return;
  const auto direct = make_staged_communicator(world().split(0, world().rank()), *gpu.device,
                                               *gpu.compute, true);
  const auto part = direct->split(0, direct->rank());  // is direct too
  part->connect_ring();
  const int ranks = part->size();
  const int rank = part->rank();
  const int before = (rank + ranks - 1) % ranks;
  for (const std::int64_t n : {1000, 300000}) {  // short messages, and those that MPI announces
    // Work on old values is still queued when the memory is taken.
    const Mirror in(gpu, Bytes(static_cast<std::size_t>(4 * n)), DType::f32);
    const Mirror out(gpu, numbers(DType::f32, n, rank), DType::f32);
    const Mirror all(gpu, numbers(DType::f32, n, 50 + rank), DType::f32);
    if (ranks > 1) {
      const auto received = part->start_receive(in.view(), before, 0);
      part->start_send(out.view(), (rank + 1) % ranks, 0)->wait();
      gpu.device->zero(out.view().raw(), out.view().bytes(), *gpu.compute);
      received->wait();
      BOOST_TEST((in.bytes() == numbers(DType::f32, n, before)));
    }
    part->broadcast(all.view(), ranks - 1);
    BOOST_TEST((all.bytes() == numbers(DType::f32, n, 50 + ranks - 1)));
  }
}

/// Sends many messages at once, which are matched by tags and waited for in another order.
/// Later messages reuse memory that was released while copies were queued.
BOOST_FIXTURE_TEST_CASE(messages_around_a_ring, Staged) {
  if (ranks == 1) return;
  staged->connect_ring();
  const int next = (rank + 1) % ranks;
  const int before = (rank + ranks - 1) % ranks;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Mirror>> in;
    std::vector<RequestPtr> requests;
    for (int tag = 0; tag < 6; ++tag) {
      in.push_back(std::make_unique<Mirror>(gpu, Bytes(4000), DType::f32));
      requests.push_back(staged->start_receive(in.back()->view(), before, tag));
    }
    std::vector<RequestPtr> sends;
    std::vector<std::unique_ptr<Mirror>> out;
    for (int tag = 5; tag >= 0; --tag) {
      out.push_back(std::make_unique<Mirror>(
          gpu, numbers(DType::f32, 1000, rank * 100 + round * 10 + tag), DType::f32));
      sends.push_back(staged->start_send(out.back()->view(), next, tag));
      // The message has been fetched, and later changes don't affect it.
      gpu.device->zero(out.back()->view().raw(), 4000, *gpu.compute);
    }
    while (!requests[3]->test()) {
    }
    for (const auto& r : requests) r->wait();
    for (const auto& r : sends) r->wait();
    for (int tag = 0; tag < 6; ++tag) {
      BOOST_TEST((in[static_cast<std::size_t>(tag)]->bytes() ==
                  numbers(DType::f32, 1000, before * 100 + round * 10 + tag)));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
