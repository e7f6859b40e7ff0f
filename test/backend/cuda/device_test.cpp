// SPDX-License-Identifier: Apache-2.0
// Tests a GPU as a Device: its memory, pinned memory, the order between streams, and the errors
// without a usable GPU.
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cuda.hpp"
#include "trireme/device/block_pool.hpp"

#include "../../../src/backend/cuda/runtime/stream.hpp"
#include "../../support/error_of.hpp"

namespace {

using namespace trireme;

constexpr std::size_t kMiB = std::size_t{1} << 20U;

/// Pinned host memory for ints.
class Pinned {
 public:
  Pinned(Device& device, std::size_t n)
      : device_(device), size_(n), data_(static_cast<int*>(device.allocate_host(bytes()))) {}
  ~Pinned() { device_.release_host(data_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  [[nodiscard]] std::size_t bytes() const { return size_ * sizeof(int); }
  [[nodiscard]] int* begin() const { return data_; }
  [[nodiscard]] int* end() const { return data_ + size_; }

 private:
  Device& device_;
  std::size_t size_;
  int* data_;
};

/// Sets an environment variable for a scope.
class Setting {
 public:
  Setting(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Setting() { unsetenv(name_); }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  const char* name_;
};

bool emulated() { return make_cuda_device(0)->name().find("Emulated") != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_device)

BOOST_AUTO_TEST_CASE(memory_is_recycled_and_counted) {
  const auto device = make_cuda_device(0);
  BOOST_TEST((device->kind() == DeviceKind::cuda));
  TRM_TEST_MENTIONS(device->name(), "cuda:0 ");
  void* first = nullptr;
  {
    const Buffer a(*device, 5 * kMiB);
    const Buffer b(*device, 100);
    first = a.data();
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(b.data()) % 64 == 0);
    BOOST_TEST(device->memory().in_use >= 5 * kMiB + 100);
  }
  const std::size_t reserved = device->memory().reserved;
  BOOST_TEST(device->memory().in_use == 0);
  const Buffer again(*device, 5 * kMiB - 7);
  BOOST_TEST(again.data() == first);
  BOOST_TEST(device->memory().reserved == reserved);
}

BOOST_AUTO_TEST_CASE(full_memory_gives_kept_blocks_back_and_then_says_so) {
  const Setting small("TRIREME_EMULATED_MEMORY", "1000000000");
  const auto device = make_cuda_device(0);
  constexpr std::size_t kBlock = 64 * kMiB;
  std::vector<std::unique_ptr<Buffer>> all;
  const std::string message = test::error_of([&] {
    for (;;) all.push_back(std::make_unique<Buffer>(*device, kBlock));
  });
  TRM_TEST_MENTIONS(message, "out of memory on cuda:0");
  TRM_TEST_MENTIONS(message, "64 MiB more were asked for");
  TRM_TEST_MENTIONS(message, fmt::format("{} MiB are in use", 64 * all.size()));
  TRM_TEST_MENTIONS(message, "of the GPU's");
  TRM_TEST_MENTIONS(message, "zero_optimization.stage");
  BOOST_TEST(device->memory().reserved == kBlock * all.size());
  BOOST_REQUIRE(all.size() > 4U);
  const std::size_t most = kBlock * all.size();
  all.clear();
  BOOST_TEST(device->memory().reserved == most);
  const Buffer large(*device, most / 2);  // fits no kept block
  BOOST_TEST(device->memory().reserved == device->memory().in_use);
  BOOST_TEST(device->memory().in_use >= most / 2);
}

BOOST_AUTO_TEST_CASE(copies_there_and_back) {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream();
  const Pinned out(*device, 1000);
  const Pinned in(*device, 1000);
  std::iota(out.begin(), out.end(), 5);
  const Buffer a(*device, out.bytes());
  const Buffer b(*device, out.bytes());
  device->copy_from_host(a.data(), out.begin(), out.bytes(), *stream);
  device->copy(b.data(), a.data(), a.bytes(), *stream);
  device->zero(b.data(), 40, *stream);
  device->copy_to_host(in.begin(), b.data(), b.bytes(), *stream);
  device->copy_to_host(in.begin(), b.data(), 0, *stream);
  stream->synchronize();
  std::fill_n(out.begin(), 10, 0);
  BOOST_TEST(std::equal(in.begin(), in.end(), out.begin()));
  std::vector<int> pageable(1000);
  device->copy_to_host(pageable.data(), a.data(), a.bytes(), *stream);
  stream->synchronize();
  BOOST_TEST(pageable[10] == 15);
}

BOOST_AUTO_TEST_CASE(pinned_memory_is_recycled) {
  const auto device = make_cuda_device(0);
  void* const first = device->allocate_host(3 * kMiB);
  device->release_host(first);
  void* const second = device->allocate_host(3 * kMiB);
  BOOST_TEST(first == second);
  device->release_host(second);
  BOOST_TEST(device->memory().reserved == 0);  // memory of the GPU only
}

BOOST_AUTO_TEST_CASE(a_stream_waits_for_another_ones_event) {
  const auto device = make_cuda_device(0);
  const auto first = device->make_stream();
  const auto second = device->make_stream();
  const Buffer a(*device, 4 * 4096);
  const Buffer b(*device, 4 * 4096);
  const Pinned in(*device, 4096);
  const Pinned out(*device, 4096);
  for (int round = 0; round < 20; ++round) {
    std::fill(out.begin(), out.end(), round);
    const auto begin = first->record_timed();
    device->copy_from_host(a.data(), out.begin(), a.bytes(), *first);
    const auto filled = first->record();
    second->wait(*filled);
    device->copy(b.data(), a.data(), a.bytes(), *second);
    const auto copied = second->record();
    first->wait(*copied);
    device->zero(a.data(), a.bytes(), *first);
    device->copy_to_host(in.begin(), b.data(), b.bytes(), *first);
    const auto end = first->record_timed();
    end->synchronize();
    BOOST_TEST(end->done());
    BOOST_TEST(copied->done());
    BOOST_TEST(end->seconds_since(*begin) >= 0);
    BOOST_REQUIRE(std::count(in.begin(), in.end(), round) == 4096);
  }
}

/// A step records thousands of events, which must be reused.
BOOST_AUTO_TEST_CASE(events_are_recycled) {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream();
  const auto handle = [](const std::unique_ptr<Event>& e) {
    return static_cast<const cuda::CudaEvent&>(*e).native();
  };
  auto event = stream->record();
  const auto other = stream->record();
  const auto first = handle(event);
  BOOST_TEST((handle(other) != first));
  event.reset();
  event = stream->record_timed();
  BOOST_TEST((handle(event) != first));  // the first event has no time
  const auto timed = handle(event);
  event = stream->record();
  BOOST_TEST((handle(event) == first));
  event = stream->record_timed();
  BOOST_TEST((handle(event) == timed));
  event->synchronize();
  BOOST_TEST(event->done());
}

BOOST_AUTO_TEST_CASE(a_graph_does_again_what_was_captured) {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream();
  const Pinned out(*device, 1000);
  const Pinned in(*device, 1000);
  const Buffer a(*device, out.bytes());
  const Buffer b(*device, out.bytes());
  std::fill(out.begin(), out.end(), 1);
  std::fill(in.begin(), in.end(), 0);
  device->copy_from_host(a.data(), out.begin(), out.bytes(), *stream);
  device->zero(b.data(), b.bytes(), *stream);
  const auto graph = stream->capture([&] {
    device->copy(b.data(), a.data(), a.bytes(), *stream);
    device->copy_to_host(in.begin(), b.data(), b.bytes(), *stream);
    device->zero(a.data(), a.bytes() / 2, *stream);
  });
  stream->synchronize();
  BOOST_TEST(std::count(in.begin(), in.end(), 0) == 1000);  // the capture ran no work
  graph->launch(*stream);
  stream->synchronize();
  BOOST_TEST(std::count(in.begin(), in.end(), 1) == 1000);
  graph->launch(*stream);
  stream->synchronize();
  BOOST_TEST(std::count(in.begin(), in.begin() + 500, 0) == 500);
  BOOST_TEST(std::count(in.begin() + 500, in.end(), 1) == 500);
}

BOOST_AUTO_TEST_CASE(a_capture_that_fails_leaves_the_stream_usable) {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream();
  const Buffer a(*device, 4000);
  const Pinned in(*device, 1000);
  const auto fails = [&](const std::function<void()>& work) {
    return test::error_of([&] { (void)stream->capture(work); });
  };
  TRM_TEST_MENTIONS(fails([] { throw Error("of its own"); }), "of its own");
  TRM_TEST_MENTIONS(fails([&] { stream->synchronize(); }), "StreamCapture");
  TRM_TEST_MENTIONS(fails([&] { const Buffer more(*device, kMiB); }), "StreamCapture");
  TRM_TEST_MENTIONS(fails([&] { (void)stream->record()->done(); }), "cudaErrorCapturedEvent");
  // An invalid call is reported at the end of the capture at the latest.
  const auto other = device->make_stream();
  const auto elsewhere = other->record();
  TRM_TEST_MENTIONS(fails([&] { stream->wait(*elsewhere); }), "cudaErrorStreamCapture");
  device->zero(a.data(), a.bytes(), *stream);
  device->copy_to_host(in.begin(), a.data(), a.bytes(), *stream);
  stream->synchronize();
  BOOST_TEST(std::count(in.begin(), in.end(), 0) == 1000);
}

/// Other threads' work on their own streams doesn't disturb a capture.
BOOST_AUTO_TEST_CASE(another_thread_may_wait_and_copy_during_a_capture) {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream();
  const auto copies = device->make_stream();
  const Buffer a(*device, 4000);
  const Pinned in(*device, 1000);
  device->zero(a.data(), a.bytes(), *stream);
  stream->synchronize();
  std::fill(in.begin(), in.end(), 3);
  const auto graph = stream->capture([&] {
    device->zero(a.data(), a.bytes(), *stream);
    std::thread([&] {
      device->copy_to_host(in.begin(), a.data(), a.bytes(), *copies);
      copies->synchronize();
    }).join();
  });
  BOOST_TEST(std::count(in.begin(), in.end(), 0) == 1000);
  graph->launch(*stream);
  stream->synchronize();
}

BOOST_AUTO_TEST_CASE(trimming_leaves_arenas_alone) {
  const auto device = make_cuda_device(0);
  {
    const Arena arena(device->pool());
    {
      const Arena::Scope scope(arena, Arena::Place::inside);
      const Buffer kept(*device, 3 * kMiB);
    }
    { const Buffer freed(*device, 5 * kMiB); }
    device->trim();
    BOOST_TEST(device->memory().reserved == 3 * kMiB);
    BOOST_TEST(arena.reserved() == 3 * kMiB);
  }
  device->trim();
  BOOST_TEST(device->memory().reserved == 0U);
}

BOOST_AUTO_TEST_CASE(what_cuda_reads_when_it_starts_is_set_where_the_user_has_not) {
  const Setting own("CUDA_DEVICE_MAX_CONNECTIONS", "9");
  for (const bool several : {false, true}) {
    unsetenv("CUDA_MODULE_LOADING");
    set_cuda_environment(several);
    BOOST_TEST(std::string(std::getenv("CUDA_DEVICE_MAX_CONNECTIONS")) == "9");
    const char* const loading = std::getenv("CUDA_MODULE_LOADING");
    BOOST_REQUIRE(loading != nullptr);
    BOOST_TEST(std::string(loading) == (several ? "EAGER" : "LAZY"));
  }
}

BOOST_AUTO_TEST_CASE(other_threads_may_record_and_copy) {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream();
  const Buffer a(*device, 4000);
  const Pinned in(*device, 1000);
  device->zero(a.data(), a.bytes(), *stream);
  std::thread([&] {
    const auto copies = device->make_stream();
    copies->wait(*stream->record());
    device->copy_to_host(in.begin(), a.data(), a.bytes(), *copies);
    copies->record()->synchronize();
  }).join();
  BOOST_TEST(std::count(in.begin(), in.end(), 0) == 1000);
}

BOOST_AUTO_TEST_CASE(marks_for_profilers_need_no_profiler) {
  const auto device = make_cuda_device(0);
  device->start_profiler();
  device->begin_range("forward");
  device->end_range();
  device->stop_profiler();
}

BOOST_AUTO_TEST_CASE(what_is_missing_is_named) {
  BOOST_TEST(cuda_trouble() == "");
  BOOST_TEST(cuda_device_count() >= 1);
  TRM_TEST_MENTIONS(cuda_version(), "CUDA 1");
  TRM_TEST_MENTIONS(cuda_version(), ", cuBLAS 1");
  const int beyond = cuda_device_count();
  const std::string none = test::error_of([&] { (void)make_cuda_device(beyond); });
  TRM_TEST_MENTIONS(none, fmt::format("there is no GPU {}", beyond));
  TRM_TEST_MENTIONS(test::error_of([] { (void)make_cuda_device(-1); }), "there is no GPU -1");
  if (!emulated()) return;
  {
    const Setting driver("TRIREME_EMULATED_DRIVER", "0");
    TRM_TEST_MENTIONS(cuda_trouble(), "no NVIDIA driver");
    BOOST_TEST(cuda_device_count() == 0);
    TRM_TEST_MENTIONS(test::error_of([] { (void)make_cuda_device(0); }), "no NVIDIA driver");
  }
  {
    const Setting driver("TRIREME_EMULATED_DRIVER", "11040");
    TRM_TEST_MENTIONS(cuda_trouble(), "too old: it supports CUDA 11.4");
  }
  {
    const Setting devices("TRIREME_EMULATED_DEVICES", "0");
    const Setting visible("CUDA_VISIBLE_DEVICES", "7");
    TRM_TEST_MENTIONS(cuda_trouble(), "no GPU is visible");
    TRM_TEST_MENTIONS(cuda_trouble(), "CUDA_VISIBLE_DEVICES is '7'");
  }
  const Setting old("TRIREME_EMULATED_CAPABILITY", "7.5");
  TRM_TEST_MENTIONS(cuda_trouble(), "compute capability 7.5; 8.0");
}

BOOST_AUTO_TEST_SUITE_END()
