// SPDX-License-Identifier: Apache-2.0
// Inputs of recomputed layers in the host's memory. On a device with memory of its own, each
// input is copied to the host and back once. A CPU copies none of its inputs.
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"

#include "tiny_model.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// A CPU that stands for a device whose memory is not the host's.
class AccountingDevice : public Device {
 public:
  AccountingDevice(Device& cpu, DeviceKind kind) : cpu_(cpu), kind_(kind) {}
  [[nodiscard]] DeviceKind kind() const override { return kind_; }
  [[nodiscard]] std::string name() const override { return cpu_.name(); }
  std::unique_ptr<Stream> make_stream() override { return cpu_.make_stream(); }
  void* allocate(std::size_t bytes) override { return cpu_.allocate(bytes); }
  void release(void* memory, std::size_t bytes) noexcept override {
    cpu_.release(memory, bytes);
  }
  void* allocate_host(std::size_t bytes) override {
    pinned += bytes;
    return cpu_.allocate_host(bytes);
  }
  void release_host(void* memory) noexcept override { cpu_.release_host(memory); }
  void trim() override { cpu_.trim(); }
  void copy_to_host(void* host, const void* from, std::size_t bytes, Stream& s) override {
    to_host += bytes;
    by_compute += &s == compute ? bytes : 0;
    cpu_.copy_to_host(host, from, bytes, s);
  }
  void copy_from_host(void* to, const void* host, std::size_t bytes, Stream& s) override {
    from_host += bytes;
    by_compute += &s == compute ? bytes : 0;
    cpu_.copy_from_host(to, host, bytes, s);
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream& s) override {
    cpu_.copy(to, from, bytes, s);
  }
  void zero(void* to, std::size_t bytes, Stream& s) override { cpu_.zero(to, bytes, s); }
  [[nodiscard]] MemoryUse memory() const override { return cpu_.memory(); }
  void reset_peak() override { cpu_.reset_peak(); }
  BlockPool& pool() override { return cpu_.pool(); }

  std::size_t to_host = 0;
  std::size_t from_host = 0;
  std::size_t pinned = 0;
  const Stream* compute = nullptr;
  std::size_t by_compute = 0;  ///< bytes that hold up the compute stream

 private:
  Device& cpu_;
  DeviceKind kind_;
};

}  // namespace

BOOST_DATA_TEST_CASE(inputs_wait_on_the_host,
                     bdata::make({false, true}) * bdata::make({false, true}), own_memory,
                     partition) {
  const TinyExec cpu;
  AccountingDevice device(*cpu.device, own_memory ? DeviceKind::cuda : DeviceKind::cpu);
  const Exec ex{device, *cpu.kernels, *cpu.stream, cpu.ex.seed};
  const auto world = world_communicator();
  const TensorParallel tp{world.get(), false};
  ModelConfig config = tiny_config();
  config.num_layers = 3;
  config.hidden_dropout = 0.2;
  RecomputeConfig recompute{RecomputeConfig::Kind::full, 2, partition, false};
  const TinyModel here(ex, config, DType::f32, tp, recompute);
  recompute.in_host_memory = true;
  const TinyModel there(ex, config, DType::f32, tp, recompute);

  const std::size_t input = static_cast<std::size_t>(config.seq_length * config.hidden_size) *
                            sizeof(float) / static_cast<std::size_t>(partition ? tp.size() : 1);
  const std::size_t moved = own_memory ? 2 * input : 0;  // inputs of two groups
  const auto kept = [&](const TinyModel& m) {
    Tape tape(tiny_batch(ex, config, 0, 1, 1));
    (void)m.parts[0]->forward(ex, {}, tape);
    return std::pair{tape.bytes(), tape.host_bytes()};
  };
  BOOST_TEST(kept(here).second == 0U);
  BOOST_TEST(kept(there).first + moved == kept(here).first);
  BOOST_TEST(kept(there).second == moved);

  const double expected = here.gradient(1, 1);
  device.to_host = device.from_host = device.by_compute = 0;
  device.compute = &ex.stream;
  BOOST_TEST(there.gradient(1, 1) == expected);
  BOOST_TEST(device.to_host == moved);
  BOOST_TEST(device.from_host == moved);
  BOOST_TEST(device.by_compute == 0U);
  BOOST_TEST(device.pinned == moved);  // each micro-batch takes the same memory again
  BOOST_TEST(there.parts[0]->host_bytes() == moved);
  BOOST_TEST(here.parts[0]->host_bytes() == 0U);
  for (std::size_t i = 0; i < here.store->parameters().size(); ++i) {
    const Parameter& p = *there.store->parameters()[i];
    for (std::size_t k = 0; k < static_cast<std::size_t>(p.grad.count()); ++k) {
      BOOST_REQUIRE(get(p.grad, k) == get(here.store->parameters()[i]->grad, k));
    }
  }
}
