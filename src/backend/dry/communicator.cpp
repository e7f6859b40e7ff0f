// SPDX-License-Identifier: Apache-2.0
// A communicator whose other ranks don't exist.
#include "trireme/backend/dry.hpp"

namespace trireme {

namespace {

class Done : public Request {
 public:
  bool test() override { return true; }
  void wait() override {}
};

class DryCommunicator : public Communicator {
 public:
  DryCommunicator(int rank, int size, Traffic& traffic, bool nearby = false)
      : rank_(rank), size_(size), traffic_(traffic), nearby_(nearby) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  void all_reduce(const View& data, Reduction) override { count(data); }
  void all_gather(const ConstView&, const View& to) override { count(to); }
  void reduce_scatter(const ConstView& from, const View&) override { count(from); }
  RequestPtr start_reduce_scatter(const ConstView& from, const View&, bool,
                                  const View&) override {
    return count(from);
  }
  RequestPtr start_all_gather(const ConstView&, const View& to) override { return count(to); }
  void broadcast(const View& data, int) override { count(data); }
  RequestPtr start_send(const ConstView& data, int, int) override { return count(data); }
  RequestPtr start_receive(const View&, int, int) override { return std::make_unique<Done>(); }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int, int) override {
    throw Error("a dry communicator can't be split");
  }
  std::unique_ptr<Communicator> split_neighbours(int size) override {
    return std::make_unique<DryCommunicator>(rank_ % size, size, traffic_, true);
  }
  std::vector<std::string> gather_text(const std::string& text, int root) override {
    if (rank_ != root) return {};
    std::vector<std::string> texts(static_cast<std::size_t>(size_));
    texts[static_cast<std::size_t>(rank_)] = text;
    return texts;
  }

 private:
  RequestPtr count(const ConstView& data) {
    const std::int64_t elements = data.dtype() == DType::u8 ? 0 : data.count();
    (nearby_ ? traffic_.nearby_elements : traffic_.elements) += elements;
    (nearby_ ? traffic_.nearby_bytes : traffic_.bytes) +=
        static_cast<std::int64_t>(data.bytes());
    if (data.dtype() == DType::u8) {
      traffic_.coded_bytes += static_cast<std::int64_t>(data.bytes());
    }
    return std::make_unique<Done>();
  }

  int rank_;
  int size_;
  Traffic& traffic_;
  bool nearby_;  ///< split_neighbours() made it
};

}  // namespace

std::unique_ptr<Communicator> make_dry_communicator(int rank, int size, Traffic& traffic) {
  return std::make_unique<DryCommunicator>(rank, size, traffic);
}

}  // namespace trireme
