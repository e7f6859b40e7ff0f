// SPDX-License-Identifier: Apache-2.0
// The CPU device: alignment, recycling, and the accounts that it keeps of its memory.
#include "trireme/device/device.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/backend/cpu.hpp"
#include "trireme/core/random.hpp"
#include "trireme/tensor/tensor.hpp"

namespace {

using namespace trireme;

constexpr std::size_t kMiB = std::size_t{1} << 20U;

/// One step of a run: activations of several sizes made and given back in the order of a
/// forward and backward pass.
void step(Device& device) {
  using Kept = std::vector<std::unique_ptr<Buffer>>;
  Kept tape;
  const auto make = [&](std::size_t bytes) { return std::make_unique<Buffer>(device, bytes); };
  const std::unique_ptr<Buffer> ids = make(4 * 513);
  for (std::size_t layer = 0; layer < 6; ++layer) {
    const std::unique_ptr<Buffer> normed = make(2 * kMiB);
    tape.push_back(make(6 * kMiB));
    const std::unique_ptr<Buffer> scratch = make(300 + 77 * layer);
    tape.push_back(make(2 * kMiB + 64));
    tape.push_back(make(8 * kMiB));
    tape.push_back(make(4096));
  }
  { const std::unique_ptr<Buffer> logits = make(50 * kMiB + 4); }
  while (!tape.empty()) {
    const std::unique_ptr<Buffer> gradient = make(tape.back()->bytes());
    const std::unique_ptr<Buffer> other = make(2 * kMiB);
    tape.pop_back();
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cpu_device)

BOOST_AUTO_TEST_CASE(memory_is_aligned_and_distinct) {
  const auto device = make_cpu_device();
  BOOST_TEST((device->kind() == DeviceKind::cpu));
  std::vector<std::unique_ptr<Buffer>> all;
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65},
        std::size_t{4097}, 2 * kMiB - 1, 2 * kMiB, 2 * kMiB + 1, 5 * kMiB}) {
    all.push_back(std::make_unique<Buffer>(*device, bytes));
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(all.back()->data()) % 64 == 0);
    // Each block is its own to the last byte.
    std::fill_n(static_cast<char*>(all.back()->data()), bytes, static_cast<char>(all.size()));
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const char* data = static_cast<const char*>(all[i]->data());
    for (std::size_t j = 0; j < all[i]->bytes(); ++j) {
      if (data[j] != static_cast<char>(i + 1)) BOOST_FAIL("block " << i << " byte " << j);
    }
    for (std::size_t j = 0; j < i; ++j) BOOST_TEST(all[i]->data() != all[j]->data());
  }
}

BOOST_AUTO_TEST_CASE(the_second_step_reserves_nothing) {
  const auto device = make_cpu_device();
  step(*device);
  const MemoryUse first = device->memory();
  BOOST_TEST(first.in_use == 0);
  BOOST_TEST(first.reserved >= first.peak);
  for (int i = 0; i < 5; ++i) step(*device);
  BOOST_TEST(device->memory().reserved == first.reserved);
  BOOST_TEST(device->memory().peak == first.peak);
}

BOOST_AUTO_TEST_CASE(a_freed_block_is_given_out_again) {
  const auto device = make_cpu_device();
  void* first = device->allocate(10 * kMiB);
  device->release(first, 10 * kMiB);
  void* again = device->allocate(10 * kMiB);
  BOOST_TEST(again == first);
  void* small = device->allocate(100);  // never a huge block for a few bytes
  device->release(again, 10 * kMiB);
  void* other = device->allocate(100);
  BOOST_TEST(other != first);
  BOOST_TEST(other != small);
  device->release(small, 100);
  device->release(other, 100);
}

BOOST_AUTO_TEST_CASE(accounts_add_up) {
  const auto device = make_cpu_device();
  BOOST_TEST(device->memory().in_use == 0);
  BOOST_TEST(device->memory().peak == 0);
  const auto near = [](std::size_t used, std::size_t asked) {
    return used >= asked && used <= asked + asked / 4 + 2 * kMiB;
  };
  auto a = std::make_unique<Buffer>(*device, 30 * kMiB);
  {
    const Buffer b(*device, 70 * kMiB);
    BOOST_TEST(near(device->memory().in_use, 100 * kMiB));
  }
  BOOST_TEST(near(device->memory().in_use, 30 * kMiB));
  BOOST_TEST(near(device->memory().peak, 100 * kMiB));
  BOOST_TEST(near(device->memory().reserved, 100 * kMiB));
  device->reset_peak();
  BOOST_TEST(device->memory().peak == device->memory().in_use);
  const Buffer c(*device, 10 * kMiB);
  BOOST_TEST(near(device->memory().peak, 40 * kMiB));
  a.reset();
  BOOST_TEST(near(device->memory().peak, 40 * kMiB));
  BOOST_TEST(near(device->memory().in_use, 10 * kMiB));
}

BOOST_AUTO_TEST_CASE(small_blocks_cost_what_they_hold) {
  const auto device = make_cpu_device();
  std::vector<std::unique_ptr<Buffer>> all;
  for (int i = 0; i < 1000; ++i) all.push_back(std::make_unique<Buffer>(*device, 1000));
  BOOST_TEST(device->memory().in_use == 1000 * 1024);
}

BOOST_AUTO_TEST_CASE(copies_and_zeros) {
  const auto device = make_cpu_device();
  const auto stream = device->make_stream();
  std::array<std::uint32_t, 1000> numbers{};
  for (std::uint32_t i = 0; i < 1000; ++i) numbers[i] = i * 2654435761U;
  const Buffer a(*device, sizeof numbers);
  const Buffer b(*device, sizeof numbers);
  device->copy_from_host(a.data(), numbers.data(), sizeof numbers, *stream);
  device->zero(b.data(), sizeof numbers, *stream);
  std::array<std::uint32_t, 1000> back{};
  back.fill(7);
  device->copy_to_host(back.data(), b.data(), sizeof back, *stream);
  BOOST_TEST((back == std::array<std::uint32_t, 1000>{}));
  device->copy(b.data(), a.data(), sizeof numbers, *stream);
  const auto done = stream->record();
  stream->wait(*done);
  done->synchronize();
  device->copy_to_host(back.data(), b.data(), sizeof back, *stream);
  stream->synchronize();
  BOOST_TEST((back == numbers));
}

BOOST_AUTO_TEST_CASE(there_are_no_graphs) {
  const auto stream = make_cpu_device()->make_stream();
  bool ran = false;
  BOOST_CHECK_THROW((void)stream->capture([&] { ran = true; }), Error);
  BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(too_much_is_an_error_that_says_how_much) {
  const auto device = make_cpu_device();
  const std::size_t absurd = std::size_t{1} << 60U;
  try {
    (void)device->allocate(absurd);
    BOOST_FAIL("an exbibyte was handed out");
  } catch (const Error& e) {
    BOOST_TEST(std::string(e.what()).find(std::to_string(absurd / kMiB)) != std::string::npos);
  }
  BOOST_TEST(device->memory().in_use == 0);
  BOOST_TEST(device->memory().reserved == 0);
}

BOOST_AUTO_TEST_CASE(a_tensor_gives_its_memory_back_with_its_last_handle) {
  const auto device = make_cpu_device();
  const auto stream = device->make_stream();
  Tensor a = Tensor::zeros(*device, DType::f32, Shape{100, 100}, *stream);
  BOOST_TEST(a.data<float>()[9999] == 0.0F);
  std::optional<Tensor> b = a;
  a = Tensor();
  BOOST_TEST(device->memory().in_use >= 40000U);
  b.reset();
  BOOST_TEST(device->memory().in_use == 0U);
}

BOOST_AUTO_TEST_CASE(threads_and_processors) {
  BOOST_TEST(std::ranges::count(processor_mask(), std::uint8_t{1}) >= 1);
  BOOST_TEST(!blas_core().empty());
  BOOST_TEST(measure_gemm_rate(64, 0.01, 1).operations > 1e6);
}

BOOST_AUTO_TEST_CASE(stream_loops) {
  // More than one thread's share; each element once.
  std::array<std::vector<float>, 4> floats;
  std::array<View, 5> arrays;
  for (std::size_t i = 0; i < 4; ++i) {
    floats[i].assign(40001, static_cast<float>(i + 1));
    arrays[i] = View(floats[i].data(), DType::f32, Shape{40001});
  }
  std::vector<std::uint16_t> halves(40001);
  arrays[4] = View(halves.data(), DType::bf16, Shape{40001});
  const auto all = [](const auto& values, auto wanted) {
    return std::ranges::all_of(values, [=](auto v) { return v == wanted; });
  };
  run_stream_loop(StreamLoop::mixed_update, arrays);  // of 1, 2, 3, 4
  BOOST_TEST(all(floats[2], 2.5F));
  BOOST_TEST(all(floats[3], 3.0F));
  BOOST_TEST(all(floats[1], 8.5F));
  BOOST_TEST(all(halves, std::uint16_t{0x4108}));
  run_stream_loop(StreamLoop::update, arrays);
  BOOST_TEST(all(floats[1], 4.25F + 2.25F * 2.5F));
  run_stream_loop(StreamLoop::triad, arrays);
  BOOST_TEST(all(floats[2], 1 + 0.5F * (4.25F + 2.25F * 2.5F)));
  run_stream_loop(StreamLoop::copy, arrays);
  BOOST_TEST(all(floats[1], 1.0F));
}

BOOST_AUTO_TEST_SUITE_END()
