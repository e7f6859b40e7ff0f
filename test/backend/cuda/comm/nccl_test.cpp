// SPDX-License-Identifier: Apache-2.0
// Tests failures of NCCL's communication, and its end. Each rank has its own GPU.
#include <cstdlib>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cuda.hpp"
#include "trireme/comm/mpi.hpp"

#include "../../../support/error_of.hpp"

namespace {

using namespace trireme;

/// Sets an environment variable for a scope.
class Setting {
 public:
  Setting(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Setting() { unsetenv(name_); }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  const char* name_;
};

/// A ring of all ranks. `possible` is false with too few GPUs or without NCCL.
struct Ring {
  std::unique_ptr<Communicator> world = world_communicator();
  int ranks = world->size();
  int rank = world->rank();
  int next = (rank + 1) % ranks;
  int before = (rank + ranks - 1) % ranks;
  Setting devices{"TRIREME_EMULATED_DEVICES", std::to_string(ranks)};
  bool possible = ranks > 1 && nccl_trouble().empty() && cuda_device_count() >= ranks;
  std::unique_ptr<Device> device = possible ? make_cuda_device(rank) : nullptr;
  std::unique_ptr<Stream> compute = possible ? device->make_stream() : nullptr;
  std::unique_ptr<Communicator> ring;

  Ring() {
    if (!possible) return;
    ring = make_nccl_communicator(world->split(0, rank), *device, *compute);
    ring->connect_ring();
  }
  [[nodiscard]] bool emulated() const {
    return possible && device->name().find("Emulated") != std::string::npos;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(nccl_communicator)

/// Destroying an NCCL communicator may wait for the other rank, and a ring must not deadlock.
BOOST_FIXTURE_TEST_CASE(a_ring_comes_to_its_end, Ring) {
  if (!possible) return;
  const Tensor out(*device, DType::f32, Shape{100});
  const Tensor in(*device, DType::f32, Shape{100});
  const auto received = ring->start_receive(in.view(), before, 0);
  ring->start_send(out.view(), next, 0)->wait();
  received->wait();
  compute->synchronize();
  world->barrier();
  ring.reset();
  world->barrier();
}

BOOST_FIXTURE_TEST_CASE(a_wait_for_a_rank_that_is_gone_ends, Ring) {
  if (!emulated()) return;
  const Tensor in(*device, DType::f32, Shape{100});
  // No rank sends this message.
  if (rank == 0) ring->start_receive(in.view(), before, 0)->wait();
  world->barrier();
  {
    const Setting failing("TRIREME_EMULATED_NCCL_FAILS", "1");
    if (rank == 0) {
      TRM_TEST_MENTIONS(test::error_of([&] { compute->synchronize(); }), "NCCL failed in");
      TRM_TEST_MENTIONS(test::error_of([&] { compute->record()->synchronize(); }),
                        "NCCL failed in");
    }
    ring.reset();
  }
  compute->synchronize();
  world->barrier();
}

/// Freeing memory waits for the GPU's work, which may never end.
BOOST_FIXTURE_TEST_CASE(memory_runs_out_while_a_message_is_waited_for, Ring) {
  if (!emulated()) return;
  const Tensor data(*device, DType::f32, Shape{100});
  if (rank == 0) {
    { const Buffer kept(*device, std::size_t{64} << 20U); }
    const auto received = ring->start_receive(data.view(), before, 0);
    const Setting small("TRIREME_EMULATED_MEMORY", "1000000");
    const std::string message =
        test::error_of([&] { const Buffer more(*device, std::size_t{128} << 20U); });
    TRM_TEST_MENTIONS(message, "out of memory on cuda:0");
    world->barrier();
    received->wait();
  } else {
    world->barrier();
    if (next == 0) ring->start_send(data.view(), next, 0)->wait();
  }
  compute->synchronize();
  world->barrier();
}

BOOST_AUTO_TEST_SUITE_END()
