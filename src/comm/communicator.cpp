// SPDX-License-Identifier: Apache-2.0
// Host values over any communicator, and the communicator of one rank.
#include "trireme/comm/communicator.hpp"

#include <cstring>
#include <limits>

#include "trireme/comm/blocks.hpp"

#include "rank_sum.hpp"

namespace trireme {

double Communicator::reduce_value(double value, Reduction op) {
  host().all_reduce(View(&value, DType::f64, Shape{1}), op);
  return value;
}

std::int64_t Communicator::reduce_count(std::int64_t value, Reduction op) {
  host().all_reduce(View(&value, DType::i64, Shape{1}), op);
  return value;
}

std::string Communicator::broadcast_text(const std::string& text, int root) {
  auto length = static_cast<std::int64_t>(text.size());
  host().broadcast(View(&length, DType::i64, Shape{1}), root);
  std::string copy = text;
  copy.resize(static_cast<std::size_t>(length));
  if (length > 0) host().broadcast(View(copy.data(), DType::u8, Shape{length}), root);
  return copy;
}

void Communicator::agree(const std::optional<Error>& mine) {
  const std::int64_t none = std::numeric_limits<std::int64_t>::max();
  const std::int64_t first =
      reduce_count(mine ? static_cast<std::int64_t>(rank()) : none, Reduction::min);
  if (first == none) return;
  const int root = static_cast<int>(first);
  std::int64_t reason = mine ? mine->system_error() : 0;
  host().broadcast(View(&reason, DType::i64, Shape{1}), root);
  Error agreed(broadcast_text(mine ? mine->what() : "", root), static_cast<int>(reason));
  throw agreed.set_everywhere();
}

namespace {

class Done : public Request {
 public:
  bool test() override { return true; }
  void wait() override {}
};

class SelfCommunicator : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  void all_reduce(const View&, Reduction) override {}
  void all_gather(const ConstView& from, const View& to) override {
    check_all_gather(from, to, 0, 1);
    copy(from, to);
  }
  void reduce_scatter(const ConstView& from, const View& to) override {
    check_reduce_scatter(from, to, 1);
    copy(from, to);
  }
  RequestPtr start_reduce_scatter(const ConstView& from, const View& to, bool accumulate,
                                  const View&) override {
    check_reduce_scatter(from, to, accumulate, 0, 1);
    sum_in_rank_order({from.raw()}, from.dtype(), to, accumulate);
    return std::make_unique<Done>();
  }
  RequestPtr start_all_gather(const ConstView& from, const View& to) override {
    all_gather(from, to);
    return std::make_unique<Done>();
  }
  void broadcast(const View&, int) override {}
  RequestPtr start_send(const ConstView&, int, int) override { throw Error(kAlone); }
  RequestPtr start_receive(const View&, int, int) override { throw Error(kAlone); }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int, int) override { return make_self_communicator(); }
  std::vector<std::string> gather_text(const std::string& text, int) override { return {text}; }

 private:
  static constexpr const char* kAlone = "a message to another rank of a communicator of one";
  static void copy(const ConstView& from, const View& to) {
    if (from.raw() != to.raw()) std::memcpy(to.raw(), from.raw(), from.bytes());
  }
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace trireme
