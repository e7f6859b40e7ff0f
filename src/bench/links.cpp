// SPDX-License-Identifier: Apache-2.0
// What ranks' connections and their disk reach.
#include "links.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/ops/gemm.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kMessage = 4 << 20;  // elements of fp32: 16 MiB
constexpr int kLinkTurns = 5;               // the best counts
constexpr int kMessages = 200;              // small ones, for the latency
constexpr std::size_t kFileBytes = 64 << 20;

/// Each rank sends `data` to the next and receives from the one before.
void pass_on(const Exec& ex, Communicator& ring, const View& data, const View& received) {
  const int ranks = ring.size();
  const RequestPtr in = ring.start_receive(received, (ring.rank() + ranks - 1) % ranks, 0);
  const RequestPtr out = ring.start_send(data, (ring.rank() + 1) % ranks, 0);
  in->wait();
  out->wait();
  ex.stream.synchronize();
}

}  // namespace

double together(const Exec& ex, Communicator& world, const std::function<void()>& work) {
  ex.stream.synchronize();
  world.barrier();
  const double begin = now();
  work();
  ex.stream.synchronize();
  return world.reduce_value(now() - begin, Reduction::max);
}

double best_of_turns(const std::function<double()>& seconds) {
  (void)seconds();  // sets up
  double best = seconds();
  for (int i = 1; i < kLinkTurns; ++i) best = std::min(best, seconds());
  return best;
}

Link measure_link(const Exec& ex, Communicator& ring, Communicator& world) {
  const Tensor data = ex.zeros(DType::f32, Shape{kMessage});
  const Tensor received = ex.zeros(DType::f32, Shape{kMessage});
  const bool alone = ring.size() == 1;  // on the one node with an odd rank
  if (!alone) ring.connect_ring();
  const auto seconds = [&](std::int64_t elements, int messages) {
    const View from = View(data.view().raw(), DType::f32, Shape{elements});
    const View to = View(received.view().raw(), DType::f32, Shape{elements});
    return best_of_turns([&] {
      return together(ex, world, [&] {
        for (int i = 0; i < messages && !alone; ++i) pass_on(ex, ring, from, to);
      });
    });
  };
  Link link;
  link.latency = seconds(1, kMessages) / kMessages;
  link.bandwidth = static_cast<double>(data.view().bytes()) / seconds(kMessage, 1);
  return link;
}

double all_reduce_rate(const Exec& ex, Communicator& everyone, Communicator& world) {
  const Tensor data = ex.zeros(DType::f32, Shape{kMessage});
  const double seconds = best_of_turns(
      [&] { return together(ex, world, [&] { everyone.all_reduce(data, Reduction::sum); }); });
  const double n = world.size();
  return static_cast<double>(data.view().bytes()) * 2 * (n - 1) / n / seconds;
}

double measure_overlap(const Exec& ex, Communicator& everyone, Communicator& world) {
  constexpr std::int64_t kRows = 256;
  const Tensor a = ex.zeros(DType::f32, Shape{kRows, kRows});
  const Tensor b = ex.zeros(DType::f32, Shape{kRows, kRows});
  const Tensor part = ex.zeros(DType::f32, Shape{kMessage});
  const Tensor whole = ex.zeros(DType::f32, Shape{kMessage * everyone.size()});
  const auto gather = [&] { everyone.start_all_gather(part, whole)->wait(); };
  const auto multiply = [&](int times, Request* request) {
    for (int i = 0; i < times; ++i) {
      ops::gemm_into(ex, {.a = a, .b = a, .op_b = Op::t, .c = b});
      if (request != nullptr) (void)request->test();
    }
  };
  const double communication = best_of_turns([&] { return together(ex, world, gather); });
  const double one =
      best_of_turns([&] { return together(ex, world, [&] { multiply(16, nullptr); }); }) / 16;
  const int times = static_cast<int>(std::clamp(communication / one, 1.0, 1e4));
  const double computation =
      best_of_turns([&] { return together(ex, world, [&] { multiply(times, nullptr); }); });
  const double both = best_of_turns([&] {
    return together(ex, world, [&] {
      const RequestPtr request = everyone.start_all_gather(part, whole);
      multiply(times, request.get());
      request->wait();
    });
  });
  const double hidden = computation + communication - both;
  return std::clamp(hidden / std::min(computation, communication), 0.0, 1.0);
}

double disk_rate(const std::string& folder, Communicator& world) {
  const std::string path = fmt::format("{}/trireme-bench-{}", folder, world.rank());
  const std::string text(kFileBytes, 'x');
  double seconds = 0;
  world.barrier();
  collectively(world, [&] {
    const double begin = now();
    const Replacement file(path);
    std::ofstream out(file.temporary(), std::ios::binary);
    out << text;
    out.close();
    TRM_REQUIRE(out.good(), "{}: cannot write {} MiB", path, kFileBytes >> 20U);
    sync_to_disk(file.temporary());  // without commit(), nothing is left
    seconds = now() - begin;
  });
  const double slowest = world.reduce_value(seconds, Reduction::max);
  return static_cast<double>(kFileBytes) * world.size() / slowest;
}

}  // namespace trireme
