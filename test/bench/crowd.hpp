// SPDX-License-Identifier: Apache-2.0
// Ranks as threads of one process: a thousand of them on a laptop. What the checkpoint's
// planning and agreeing need, no more.
#pragma once

#include <barrier>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "trireme/comm/communicator.hpp"

namespace trireme::bench {

/// What the threads share.
struct Crowd {
  explicit Crowd(int ranks)
      : slots(static_cast<std::size_t>(ranks)), meeting(static_cast<std::ptrdiff_t>(ranks)) {}

  std::vector<std::string> slots;
  std::barrier<> meeting;
  std::size_t gathered = 0;  ///< bytes of text that rank 0 received
};

class CrowdCommunicator final : public Communicator {
 public:
  CrowdCommunicator(Crowd& crowd, int rank) : crowd_(crowd), rank_(rank) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return static_cast<int>(crowd_.slots.size()); }

  void all_reduce(const View& data, Reduction op) override {
    const auto all = exchange(std::string(static_cast<const char*>(data.raw()), data.bytes()));
    for (int r = 0; r < size(); ++r) {
      const void* theirs = all[static_cast<std::size_t>(r)].data();
      if (data.dtype() == DType::f64) {
        combine<double>(data, theirs, r == 0, op);
      } else {
        combine<std::int64_t>(data, theirs, r == 0, op);
      }
    }
  }
  void broadcast(const View& data, int root) override {
    const auto all = exchange(std::string(static_cast<const char*>(data.raw()), data.bytes()));
    std::memcpy(data.raw(), all[static_cast<std::size_t>(root)].data(), data.bytes());
  }
  void barrier() override { crowd_.meeting.arrive_and_wait(); }
  [[nodiscard]] std::vector<std::string> gather_text(const std::string& text,
                                                     int root) override {
    crowd_.slots[me()] = text;
    barrier();
    std::vector<std::string> all;
    if (rank_ == root) {
      all = crowd_.slots;
      for (const std::string& t : all) crowd_.gathered += t.size();
    }
    barrier();
    return all;
  }

  void all_gather(const ConstView&, const View&) override { refuse(); }
  void reduce_scatter(const ConstView&, const View&) override { refuse(); }
  [[nodiscard]] RequestPtr start_reduce_scatter(const ConstView&, const View&, bool,
                                                const View&) override {
    refuse();
  }
  [[nodiscard]] RequestPtr start_all_gather(const ConstView&, const View&) override {
    refuse();
  }
  [[nodiscard]] RequestPtr start_send(const ConstView&, int, int) override { refuse(); }
  [[nodiscard]] RequestPtr start_receive(const View&, int, int) override { refuse(); }
  [[nodiscard]] std::unique_ptr<Communicator> split(int, int) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { TRM_CHECK(false, "a crowd's ranks can't do that"); }
  [[nodiscard]] std::size_t me() const { return static_cast<std::size_t>(rank_); }

  std::vector<std::string> exchange(std::string mine) {
    crowd_.slots[me()] = std::move(mine);
    barrier();
    auto all = crowd_.slots;
    barrier();
    return all;
  }

  template <class T>
  static void combine(const View& data, const void* theirs, bool first, Reduction op) {
    T* mine = data.data<T>();
    for (std::int64_t i = 0; i < data.count(); ++i) {
      T value{};
      std::memcpy(&value, static_cast<const T*>(theirs) + i, sizeof(T));
      if (first) {
        mine[i] = value;
      } else if (op == Reduction::sum) {
        mine[i] += value;
      } else {
        mine[i] = op == Reduction::max ? std::max(mine[i], value) : std::min(mine[i], value);
      }
    }
  }

  Crowd& crowd_;
  int rank_ = 0;
};

}  // namespace trireme::bench
