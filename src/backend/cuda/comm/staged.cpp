// SPDX-License-Identifier: Apache-2.0
// Communicates a GPU's arrays through pinned memory and the host's communicator. The host waits
// until its copies to pinned memory are done; the GPU goes on with queued work.
#include <deque>
#include <functional>

#include "trireme/backend/cuda.hpp"
#include "trireme/comm/blocks.hpp"
#include "trireme/core/log.hpp"

#include "../runtime/stream.hpp"
#include "rank_sum.hpp"

namespace trireme {

namespace cuda {

namespace {

/// Pinned memory with the shape of an array on the device.
class Stage {
 public:
  Stage(Device& device, DType dtype, const Shape& shape)
      : device_(device),
        view_(device.allocate_host(static_cast<std::size_t>(shape.count()) * size_of(dtype)),
              dtype, shape) {}
  ~Stage() { device_.release_host(view_.raw()); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  [[nodiscard]] const View& view() const { return view_; }

 private:
  Device& device_;
  View view_;
};
using StagePtr = std::unique_ptr<Stage>;

/// Copies arrays between the GPU and pinned memory, on a stream of its own.
class Ferry {
 public:
  Ferry(Device& device, Stream& compute)
      : device_(device), compute_(compute), stream_(device.make_stream()) {}
  ~Ferry() {
    try {
      stream_->synchronize();
    } catch (const std::exception& e) {
      log::warn("{}", e.what());
      // Copies may still run, so this memory is never released.
      for (Leaving& left : leaving_) static_cast<void>(left.stage.release());
    }
  }
  Ferry(const Ferry&) = delete;
  Ferry& operator=(const Ferry&) = delete;

  [[nodiscard]] Stream& compute() const { return compute_; }
  [[nodiscard]] Device& device() const { return device_; }

  /// Orders later copies after the work queued on `compute` so far.
  void follow_compute() { stream_->wait(*compute_.record()); }
  [[nodiscard]] StagePtr room(const ConstView& like) {
    TRM_CHECK(like.contiguous(), "communication of a strided window {}", like.shape().str());
    return std::make_unique<Stage>(device_, like.dtype(), like.shape());
  }
  /// Waits for all copies and frees their memory. With this call before each room(), the pinned
  /// memory in use is the same in every step, whatever the GPU's pace.
  void wait_for_copies() {
    stream_->synchronize();
    leaving_.clear();
  }
  /// Copies `from`, after the work queued on `compute`, and waits for the copy.
  [[nodiscard]] StagePtr fetch(const ConstView& from) {
    wait_for_copies();
    StagePtr stage = room(from);
    fetch(from, stage->view());
    return stage;
  }
  void fetch(const ConstView& from, const View& to) {
    follow_compute();
    device_.copy_to_host(to.raw(), from.raw(), from.bytes(), *stream_);
    wait_for_copies();
  }
  /// Queues a copy to the GPU; later work on `compute` waits for the copy.
  void put(StagePtr stage, const View& to) {
    const View whole = stage->view();
    device_.copy_from_host(to.raw(), whole.raw(), to.bytes(), *stream_);
    retire(std::move(stage));
  }
  /// Queues copies of all blocks but `except`.
  void put_others(StagePtr stage, const View& to, int except, int blocks) {
    const std::size_t block = to.bytes() / static_cast<std::size_t>(blocks);
    const std::size_t before = block * static_cast<std::size_t>(except);
    const std::size_t after = before + block;
    const auto* const source = static_cast<const std::byte*>(stage->view().raw());
    auto* const target = static_cast<std::byte*>(to.raw());
    device_.copy_from_host(target, source, before, *stream_);
    device_.copy_from_host(target + after, source + after, to.bytes() - after, *stream_);
    retire(std::move(stage));
  }

 private:
  /// Keeps pinned memory until the copy from it is done.
  void retire(StagePtr stage) {
    auto copied = stream_->record();
    compute_.wait(*copied);
    while (!leaving_.empty() && leaving_.front().copied->done()) leaving_.pop_front();
    leaving_.push_back({std::move(stage), std::move(copied)});
  }

  struct Leaving {
    StagePtr stage;
    std::unique_ptr<Event> copied;
  };
  Device& device_;
  Stream& compute_;
  std::unique_ptr<Stream> stream_;
  std::deque<Leaving> leaving_;
};

class Done : public Request {
 public:
  bool test() override { return true; }
  void wait() override {}
};

/// The host's communication, followed by a copy of what it received to the GPU.
class StagedRequest : public Request {
 public:
  using Finish = std::function<void(StagePtr received)>;
  StagedRequest(StagePtr sent, StagePtr received, RequestPtr transfer, Finish finish)
      : sent_(std::move(sent)),
        received_(std::move(received)),
        transfer_(std::move(transfer)),
        finish_(std::move(finish)) {}
  ~StagedRequest() override {
    if (transfer_ == nullptr) return;
    // After an error the run ends. MPI may still use this memory, which is never released.
    static_cast<void>(transfer_.release());
    static_cast<void>(sent_.release());
    static_cast<void>(received_.release());
  }
  StagedRequest(const StagedRequest&) = delete;
  StagedRequest& operator=(const StagedRequest&) = delete;
  bool test() override {
    if (transfer_ != nullptr && transfer_->test()) complete();
    return transfer_ == nullptr;
  }
  void wait() override {
    if (transfer_ == nullptr) return;
    transfer_->wait();
    complete();
  }

 private:
  void complete() {
    transfer_.reset();
    sent_.reset();
    if (finish_) finish_(std::move(received_));
  }
  StagePtr sent_;
  StagePtr received_;
  RequestPtr transfer_;
  Finish finish_;
};

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> host, std::shared_ptr<Ferry> ferry,
                     bool direct)
      : host_(std::move(host)), ferry_(std::move(ferry)), direct_(direct) {}

  [[nodiscard]] int rank() const override { return host_->rank(); }
  [[nodiscard]] int size() const override { return host_->size(); }
  [[nodiscard]] Communicator& host() override { return *host_; }

  void all_reduce(const View& data, Reduction op) override {
    if (size() == 1) return;
    StagePtr stage = ferry_->fetch(data);
    host_->all_reduce(stage->view(), op);
    ferry_->put(std::move(stage), data);
  }

  void all_gather(const ConstView& from, const View& to) override {
    start_all_gather(from, to)->wait();
  }

  RequestPtr start_all_gather(const ConstView& from, const View& to) override {
    check_all_gather(from, to, rank(), size());
    if (size() == 1) {
      if (from.raw() != to.raw()) copy(from, to);
      return std::make_unique<Done>();
    }
    ferry_->wait_for_copies();
    StagePtr all = ferry_->room(to);
    const View flat = all->view().reshape(Shape{to.count()});
    const View mine = flat.slice_cols(from.count() * rank(), from.count());
    ferry_->fetch(from, mine);
    auto transfer = host_->start_all_gather(mine, flat);
    const bool in_place = from.raw() == block_of(to, rank(), size()).raw();
    return request(nullptr, std::move(all), std::move(transfer), [=, this](StagePtr stage) {
      if (in_place) {
        ferry_->put_others(std::move(stage), to, rank(), size());
      } else {
        ferry_->put(std::move(stage), to);
      }
    });
  }

  void reduce_scatter(const ConstView& from, const View& to) override {
    check_reduce_scatter(from, to, size());
    if (size() == 1) {
      if (from.raw() != to.raw()) copy(from, to);
      return;
    }
    const StagePtr sent = ferry_->fetch(from);
    StagePtr sum = ferry_->room(to);
    host_->reduce_scatter(sent->view(), sum->view());
    ferry_->put(std::move(sum), to);
  }

  /// The host computes the sum, with the bits of a run on CPUs. On completion, the sum is added
  /// to the current `to`, which other requests may have changed meanwhile.
  RequestPtr start_reduce_scatter(const ConstView& from, const View& to, bool accumulate,
                                  const View& room) override {
    check_reduce_scatter(from, to, accumulate, rank(), size());
    if (size() == 1) {
      add(from.raw(), from.dtype(), to, accumulate);
      return std::make_unique<Done>();
    }
    StagePtr sent = ferry_->fetch(from);
    const DType wide = accumulate ? accumulator_type(from.dtype()) : to.dtype();
    StagePtr sum = ferry_->room(ConstView(nullptr, wide, to.shape()));
    auto transfer = host_->start_reduce_scatter(sent->view(), sum->view(), false);
    return request(std::move(sent), std::move(sum), std::move(transfer),
                   [=, this](StagePtr stage) {
                     if (accumulate) {
                       put_and_add(std::move(stage), to, room);
                     } else {
                       ferry_->put(std::move(stage), to);
                     }
                   });
  }

  void broadcast(const View& data, int root) override {
    if (size() == 1) return;
    if (direct_) {
      ferry_->compute().synchronize();
      return host_->broadcast(data, root);
    }
    const bool mine = rank() == root;
    ferry_->follow_compute();
    StagePtr stage = mine ? ferry_->fetch(data) : ferry_->room(data);
    host_->broadcast(stage->view(), root);
    if (!mine) ferry_->put(std::move(stage), data);
  }

  RequestPtr start_send(const ConstView& data, int to, int tag) override {
    if (direct_) {
      ferry_->compute().synchronize();
      return host_->start_send(data, to, tag);
    }
    StagePtr stage = ferry_->fetch(data);
    auto transfer = host_->start_send(stage->view(), to, tag);
    return request(std::move(stage), nullptr, std::move(transfer), {});
  }

  RequestPtr start_receive(const View& data, int from, int tag) override {
    if (direct_) {
      ferry_->compute().synchronize();
      return host_->start_receive(data, from, tag);
    }
    ferry_->follow_compute();
    StagePtr stage = ferry_->room(data);
    auto transfer = host_->start_receive(stage->view(), from, tag);
    return request(nullptr, std::move(stage), std::move(transfer),
                   [=, this](StagePtr received) { ferry_->put(std::move(received), data); });
  }

  void connect_ring() override { host_->connect_ring(); }
  void barrier() override { host_->barrier(); }
  std::unique_ptr<Communicator> split(int color, int key) override {
    return std::make_unique<StagedCommunicator>(host_->split(color, key), ferry_, direct_);
  }
  std::vector<std::string> gather_text(const std::string& text, int root) override {
    return host_->gather_text(text, root);
  }

 private:
  void copy(const ConstView& from, const View& to) {
    ferry_->device().copy(to.raw(), from.raw(), from.bytes(), ferry_->compute());
  }
  void add(const void* addend, DType type, const View& to, bool accumulate) {
    sum_in_rank_order(native(ferry_->compute()), {.mine = addend}, type, to, accumulate);
  }
  /// Copies through `room` if it is large enough.
  void put_and_add(StagePtr sum, const View& to, const View& room) {
    const View whole = sum->view();
    constexpr std::uintptr_t kAlignment = 16;
    const bool fits = !room.empty() && room.bytes() >= whole.bytes() &&
                      reinterpret_cast<std::uintptr_t>(room.raw()) % kAlignment == 0;
    std::unique_ptr<Buffer> own;
    if (!fits) own = std::make_unique<Buffer>(ferry_->device(), whole.bytes());
    const View there(fits ? room.raw() : own->data(), whole.dtype(), whole.shape());
    ferry_->follow_compute();
    ferry_->put(std::move(sum), there);
    add(there.raw(), there.dtype(), to, true);
  }
  static RequestPtr request(StagePtr sent, StagePtr received, RequestPtr transfer,
                            StagedRequest::Finish finish) {
    return std::make_unique<StagedRequest>(std::move(sent), std::move(received),
                                           std::move(transfer), std::move(finish));
  }

  std::unique_ptr<Communicator> host_;
  std::shared_ptr<Ferry> ferry_;
  /// Whether MPI takes the GPU's memory directly. start_all_gather() never does this: Open
  /// MPI's support for CUDA excludes non-blocking collectives.
  bool direct_;
};

}  // namespace

}  // namespace cuda

std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> host,
                                                       Device& device, Stream& compute,
                                                       bool direct) {
  return std::make_unique<cuda::StagedCommunicator>(
      std::move(host), std::make_shared<cuda::Ferry>(device, compute), direct);
}

}  // namespace trireme
