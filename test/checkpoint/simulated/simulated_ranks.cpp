// SPDX-License-Identifier: Apache-2.0
// A group's ranks meet at a barrier, look at what the others posted, and part at another.
#include "simulated_ranks.hpp"

#include <algorithm>
#include <barrier>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

namespace trireme::test {

namespace {

struct Meeting {
  explicit Meeting(int size) : gate(size), posts(static_cast<std::size_t>(size)) {}
  std::barrier<> gate;
  std::vector<const void*> posts;
};

template <class T>
T reduced(T a, T b, Reduction op) {
  return op == Reduction::sum ? a + b : op == Reduction::max ? std::max(a, b) : std::min(a, b);
}

class SimulatedRank : public Communicator {
 public:
  SimulatedRank(std::shared_ptr<Meeting> meeting, int rank)
      : meeting_(std::move(meeting)), rank_(rank) {}
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return static_cast<int>(meeting_->posts.size()); }

  void all_reduce(const View& data, Reduction op) override {
    if (data.dtype() == DType::f64) return reduce<double>(data, op);
    reduce<std::int64_t>(data, op);
  }
  void broadcast(const View& data, int root) override {
    meet(data.raw(), [&](const auto& posts) {
      const void* from = posts[static_cast<std::size_t>(root)];
      if (rank_ != root) std::memcpy(data.raw(), from, data.bytes());
    });
  }
  void barrier() override {
    meet(nullptr, [](const auto&) {});
  }
  std::unique_ptr<Communicator> split(int color, int key) override {
    struct Wish {
      int color, key, rank;
      std::shared_ptr<Meeting> meeting;
    };
    const Wish mine{color, key, rank_, nullptr};
    std::vector<Wish> group;
    meet(&mine, [&](const auto& posts) {
      for (const void* p : posts) {
        const auto& wish = *static_cast<const Wish*>(p);
        if (wish.color == color) group.push_back(wish);
      }
    });
    std::sort(group.begin(), group.end(), [](const Wish& a, const Wish& b) {
      return std::pair(a.key, a.rank) < std::pair(b.key, b.rank);
    });
    auto made = group.front().rank == rank_
                    ? std::make_shared<Meeting>(static_cast<int>(group.size()))
                    : nullptr;
    const auto place = std::find_if(group.begin(), group.end(),
                                    [&](const Wish& w) { return w.rank == rank_; });
    std::shared_ptr<Meeting> ours;
    meet(&made, [&](const auto& posts) {
      const auto first = static_cast<std::size_t>(group.front().rank);
      ours = *static_cast<const std::shared_ptr<Meeting>*>(posts[first]);
    });
    return std::make_unique<SimulatedRank>(ours, static_cast<int>(place - group.begin()));
  }
  std::vector<std::string> gather_text(const std::string& text, int root) override {
    std::vector<std::string> out;
    meet(&text, [&](const auto& posts) {
      if (rank_ != root) return;
      for (const void* p : posts) out.push_back(*static_cast<const std::string*>(p));
    });
    return out;
  }

  void all_gather(const ConstView&, const View&) override { refuse(); }
  void reduce_scatter(const ConstView&, const View&) override { refuse(); }
  RequestPtr start_reduce_scatter(const ConstView&, const View&, bool, const View&) override {
    refuse();
  }
  RequestPtr start_all_gather(const ConstView&, const View&) override { refuse(); }
  RequestPtr start_send(const ConstView&, int, int) override { refuse(); }
  RequestPtr start_receive(const View&, int, int) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { TRM_CHECK(false, "not simulated"); }

  template <class Look>
  void meet(const void* post, Look look) {
    meeting_->posts[static_cast<std::size_t>(rank_)] = post;
    meeting_->gate.arrive_and_wait();
    look(std::as_const(meeting_->posts));
    meeting_->gate.arrive_and_wait();
  }
  template <class T>
  void reduce(const View& data, Reduction op) {
    const auto count = static_cast<std::size_t>(data.count());
    std::vector<T> result;
    meet(data.data<T>(), [&](const auto& posts) {
      for (const void* p : posts) {
        const auto* values = static_cast<const T*>(p);
        if (result.empty()) {
          result.assign(values, values + count);
        } else {
          for (std::size_t i = 0; i < count; ++i) {
            result[i] = reduced(result[i], values[i], op);
          }
        }
      }
    });
    std::copy(result.begin(), result.end(), data.data<T>());
  }

  std::shared_ptr<Meeting> meeting_;
  int rank_;
};

}  // namespace

std::string as_ranks(int ranks, const std::function<void(Communicator&)>& f) {
  const auto meeting = std::make_shared<Meeting>(ranks);
  std::vector<std::string> errors(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      try {
        SimulatedRank rank(meeting, r);
        f(rank);
      } catch (const std::exception& e) {
        errors[static_cast<std::size_t>(r)] = fmt::format("rank {}: {}", r, e.what());
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::string& e : errors) {
    if (!e.empty()) return e;
  }
  return {};
}

}  // namespace trireme::test
