// SPDX-License-Identifier: Apache-2.0
// Memory that the ranks of a machine share, and whether any of it is left behind.
#include "trireme/comm/shared_memory.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"

#include "../support/error_of.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;

Communicator& world() {
  static const auto comm = world_communicator();
  return *comm;
}

/// The number of names in /dev/shm that this process made.
std::size_t names_left() {
  const std::string mine = fmt::format("trireme-{}-", getpid());
  std::size_t n = 0;
  for (const auto& f : std::filesystem::directory_iterator("/dev/shm")) {
    n += f.path().filename().string().starts_with(mine) ? 1U : 0U;
  }
  return n;
}

std::byte pattern(int rank, std::size_t i) {
  return static_cast<std::byte>(i * 7 + static_cast<std::size_t>(rank) * 31 + 1);
}

/// A world whose last rank seems to run on another machine.
class Apart : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return world().rank(); }
  [[nodiscard]] int size() const override { return world().size(); }
  void all_reduce(const View& data, Reduction op) override { world().all_reduce(data, op); }
  void all_gather(const ConstView& from, const View& to) override {
    world().all_gather(from, to);
  }
  void reduce_scatter(const ConstView& from, const View& to) override {
    world().reduce_scatter(from, to);
  }
  RequestPtr start_reduce_scatter(const ConstView& from, const View& to, bool accumulate,
                                  const View& room) override {
    return world().start_reduce_scatter(from, to, accumulate, room);
  }
  RequestPtr start_all_gather(const ConstView& from, const View& to) override {
    return world().start_all_gather(from, to);
  }
  void broadcast(const View& data, int root) override { world().broadcast(data, root); }
  RequestPtr start_send(const ConstView& data, int to, int tag) override {
    return world().start_send(data, to, tag);
  }
  RequestPtr start_receive(const View& data, int from, int tag) override {
    return world().start_receive(data, from, tag);
  }
  void barrier() override { world().barrier(); }
  std::unique_ptr<Communicator> split(int color, int key) override {
    return world().split(color, key);
  }
  std::vector<std::string> gather_text(const std::string& text, int root) override {
    const bool elsewhere = rank() == size() - 1;
    return world().gather_text(elsewhere ? "/trireme-elsewhere 64\n" : text, root);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(all_ranks_see_what_each_writes) {
  const auto bytes = [](int rank) {  // odd sizes, zero, and several pages
    return rank % 3 == 1 ? 0 : 4099 * static_cast<std::size_t>(rank) + 1;
  };
  const int me = world().rank();
  SharedMemory memory(world(), bytes(me));
  BOOST_TEST(names_left() == 0U);  // no name is left even while the memory is in use

  for (int r = 0; r < world().size(); ++r) {
    BOOST_REQUIRE(memory.bytes(r) == bytes(r));
    BOOST_REQUIRE((memory.part(r) == nullptr) == (bytes(r) == 0));
    const std::byte* const begin = memory.part(r);
    BOOST_TEST(std::all_of(begin, begin + bytes(r), [](auto b) { return b == std::byte{0}; }));
  }
  world().barrier();
  for (std::size_t i = 0; i < bytes(me); ++i) memory.part(me)[i] = pattern(me, i);
  world().barrier();
  for (int r = 0; r < world().size(); ++r) {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < bytes(r); ++i) wrong += memory.part(r)[i] != pattern(r, i);
    BOOST_TEST(wrong == 0U);
  }
}

BOOST_AUTO_TEST_CASE(several_live_side_by_side_and_all_may_be_empty) {
  SharedMemory a(world(), 5);
  const SharedMemory none(world(), 0);
  SharedMemory b(world(), 5);
  const int me = world().rank();
  a.part(me)[4] = std::byte{1};
  b.part(me)[4] = std::byte{2};
  world().barrier();
  for (int r = 0; r < world().size(); ++r) {
    BOOST_TEST((a.part(r)[4] == std::byte{1} && b.part(r)[4] == std::byte{2}));
    BOOST_TEST((none.part(r) == nullptr && none.bytes(r) == 0));
  }
}

BOOST_AUTO_TEST_CASE(too_much_is_refused_on_all_ranks) {
  const std::size_t much = std::size_t{1} << 50U;
  const bool last = world().rank() == world().size() - 1;
  const auto message = error_of([&] { SharedMemory(world(), last ? much : 8); });
  const auto total = much + 8 * static_cast<std::size_t>(world().size() - 1);
  TRM_TEST_MENTIONS(message, fmt::format("need {} bytes", total));
  TRM_TEST_MENTIONS(message, "free in /dev/shm: ");
  TRM_TEST_MENTIONS(message, "writers_per_node");
  BOOST_TEST(names_left() == 0U);
  BOOST_CHECK_NO_THROW(SharedMemory(world(), 8));  // the failure took no memory
}

BOOST_AUTO_TEST_CASE(one_rank_that_gets_none_fails_all) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto signal_before = std::signal(SIGXFSZ, SIG_IGN);
  if (world().rank() == world().size() - 1) {
    const rlimit low{4096, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &low);
  }
  const auto message = error_of([&] { SharedMemory(world(), 8192); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, signal_before);
  TRM_TEST_MENTIONS(message, "File too large");
  BOOST_TEST(names_left() == 0U);
}

BOOST_AUTO_TEST_CASE(ranks_on_several_machines_are_refused_on_all) {
  Apart apart;
  if (world().size() == 1) {
    BOOST_CHECK_NO_THROW(SharedMemory(apart, 64));
  } else {
    const auto message = error_of([&] { SharedMemory(apart, 64); });
    TRM_TEST_MENTIONS(message, fmt::format("of rank {} of the node", world().size() - 1));
    TRM_TEST_MENTIONS(message, "several machines");
  }
  BOOST_TEST(names_left() == 0U);
}
