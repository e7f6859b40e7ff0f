// SPDX-License-Identifier: Apache-2.0
// States on a device: every copy is queued before a wait for any copy, and no copy is written
// before it has arrived.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/reader.hpp"

#include "world.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// A stream that does no work before somebody waits for it.
class LazyStream : public Stream {
 public:
  class Mark : public Event {
   public:
    Mark(LazyStream& stream, std::size_t end) : stream_(stream), end_(end) {}
    void synchronize() override { stream_.run_to(end_); }
    bool done() override { return stream_.done_ >= end_; }
    double seconds_since(const Event&) override { return 0; }

   private:
    LazyStream& stream_;
    std::size_t end_;
  };

  void synchronize() override { run_to(done_ + queue_.size()); }
  std::unique_ptr<Event> record() override {
    return std::make_unique<Mark>(*this, done_ + queue_.size());
  }
  std::unique_ptr<Event> record_timed() override { return record(); }
  void wait(Event& event) override { event.synchronize(); }
  std::unique_ptr<Graph> capture(const std::function<void()>&) override {
    throw Error("a lazy stream captures nothing");
  }
  void queue(std::function<void()> work) { queue_.push_back(std::move(work)); }

  std::size_t waits = 0;
  std::size_t most_queued = 0;

 private:
  void run_to(std::size_t end) {
    ++waits;
    most_queued = std::max(most_queued, queue_.size());
    for (; done_ < end; ++done_) {
      queue_.front()();
      queue_.pop_front();
    }
  }
  std::deque<std::function<void()>> queue_;
  std::size_t done_ = 0;
};

/// A device of host memory, whose copies are late. Pinned memory is poisoned.
class LazyDevice : public Device {
 public:
  [[nodiscard]] DeviceKind kind() const override { return DeviceKind::cuda; }
  [[nodiscard]] std::string name() const override { return "lazy"; }
  std::unique_ptr<Stream> make_stream() override { return std::make_unique<LazyStream>(); }
  void* allocate(std::size_t bytes) override { return std::malloc(bytes); }
  void release(void* memory, std::size_t) noexcept override { std::free(memory); }
  void* allocate_host(std::size_t bytes) override {
    pinned += bytes;
    TRM_REQUIRE(pinned <= limit, "out of pinned host memory");
    return std::memset(std::malloc(bytes), 0xff, bytes);
  }
  void release_host(void* memory) noexcept override { std::free(memory); }
  void copy_to_host(void* to, const void* from, std::size_t bytes, Stream& s) override {
    dynamic_cast<LazyStream&>(s).queue([=] { std::memcpy(to, from, bytes); });
  }
  void copy_from_host(void* to, const void* from, std::size_t bytes, Stream& s) override {
    copy_to_host(to, from, bytes, s);
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream& s) override {
    copy_to_host(to, from, bytes, s);
  }
  void zero(void* to, std::size_t bytes, Stream& s) override {
    dynamic_cast<LazyStream&>(s).queue([=] { std::memset(to, 0, bytes); });
  }
  [[nodiscard]] MemoryUse memory() const override { return {}; }
  void reset_peak() override {}
  void trim() override {}
  [[nodiscard]] BlockPool& pool() override { throw Error("a lazy device has no pool"); }

  std::size_t pinned = 0;
  std::size_t limit = std::size_t{1} << 40U;
};

/// Saves `arrays` from such a device, and reads the checkpoint.
struct DeviceSave {
  DeviceSave(const std::vector<Array>& all, Cut cut, int writers_per_node, bool async = true)
      : arrays(all), parts(parts_of(arrays, cut, ranks())), memory(arrays, parts, me()) {
    SaveOptions options;
    options.folder = folder / "save";
    options.async = async;
    options.writers_per_node = writers_per_node;
    saver.emplace(options, memory.held(), StateHome{device, stream}, world());
  }

  void check() {
    for (const unsigned salt : {1U, 2U}) {
      for (Array& a : arrays) a.salt = salt;
      memory.become(arrays, parts, me());
      saver->start(some_state(salt));
      memory.become(with_other_salt(), parts, me());  // training goes on
      BOOST_TEST(saver->wait().value().failure == "");
      if (last()) {
        CheckpointReader reader(folder / ("save/" + checkpoint_name(salt)));
        for (const Array& a : arrays) BOOST_TEST(holds(reader, a));
      }
      world().barrier();
    }
  }
  [[nodiscard]] std::vector<Array> with_other_salt() const {
    std::vector<Array> other = arrays;
    for (Array& a : other) a.salt += 100;
    return other;
  }

  std::vector<Array> arrays;
  std::vector<Part> parts;
  Memory memory;
  SharedFolder folder;
  LazyDevice device;
  LazyStream stream;
  std::optional<CheckpointSaver> saver;
};

std::vector<Array> many_arrays() {
  std::vector<Array> list;
  for (int i = 0; i < 40; ++i) {
    list.push_back({fmt::format("model/w{}", i), DType::f32, Shape{64, 30 + i}, 1});
  }
  return list;
}

}  // namespace

BOOST_DATA_TEST_CASE(copies_are_waited_for_once,
                     bdata::make({0, 1, 2}) * bdata::make({true, false}), writers, async) {
  DeviceSave s(many_arrays(), Cut::first_axis, writers, async);
  const std::size_t share = writing_share(s.memory.held()).size();
  s.check();
  // Four chunks in turn fill the shared memory, and each has an event of its own.
  const std::size_t saves = 2;
  BOOST_TEST(s.stream.waits == (share == 0 ? 0 : writers == 0 ? saves : saves * 4));
  BOOST_TEST(s.stream.most_queued >= share);
  BOOST_TEST(s.device.pinned <= s.saver->staging_bytes());
  BOOST_TEST((s.device.pinned > 0) == (share > 0));
}

BOOST_AUTO_TEST_CASE(copies_larger_than_the_ring) {
  const std::size_t ring = std::size_t{64} << 20U;
  DeviceSave s({{"model/a", DType::u8, Shape{1'000'001}, 1},
                {"model/b", DType::f64, Shape{7, 1'200'003}, 1},
                {"model/c", DType::f64, Shape{300}, 1}},
               Cut::whole, 1);
  BOOST_TEST(pinned_ring_bytes(std::size_t{1} << 40U) == ring);
  s.check();
  BOOST_TEST(s.device.pinned == (last() ? ring : 0));
  if (last()) BOOST_TEST(s.saver->staging_bytes() > 68'000'000 + ring);
}

BOOST_AUTO_TEST_CASE(too_little_pinned_memory) {
  const std::vector<Array> arrays = many_arrays();
  const auto parts = parts_of(arrays, Cut::first_axis, ranks());
  const Memory memory(arrays, parts, me());
  LazyDevice device;
  LazyStream stream;
  device.limit = last() ? 0 : device.limit;
  for (const int writers : {0, 1}) {
    SaveOptions options;
    options.folder = "nowhere";
    options.writers_per_node = writers;
    const std::string message = error_of_all([&] {
      const CheckpointSaver saver(options, memory.held(), StateHome{device, stream}, world());
    });
    BOOST_TEST(message.find("out of pinned host memory") != std::string::npos, message);
  }
}
