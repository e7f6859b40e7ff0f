// SPDX-License-Identifier: Apache-2.0
// Communicator over NCCL.
#pragma once

#include <array>

#include "../../runtime/tuning.hpp"
#include "lane.hpp"

namespace trireme::cuda {

/// Sums of floating types are computed here, in rank order. NCCL would round bf16 and fp16 at
/// every hop, and add in an order of its choice. Each rank receives the others' addends of its
/// block and sums them; the sums are gathered. Ranks send as many bytes as in a ring
/// all-reduce.
class NcclCommunicator final : public Communicator {
 public:
  enum class Warm : std::uint8_t { gathers, messages_too };

  /// `lane` is empty for a single rank, whose arrays stay on the compute stream. `warm` says
  /// which connections are made now. Those for messages are one for each pair of ranks.
  NcclCommunicator(std::unique_ptr<Communicator> host, Device& device, Stream& compute,
                   std::shared_ptr<Lane> lane, const Tuning& tuning, Warm warm)
      : host_(std::move(host)),
        device_(device),
        compute_(compute),
        lane_(std::move(lane)),
        tuning_(tuning),
        rank_(host_->rank()),
        size_(host_->size()) {
    if (lane_ != nullptr) make_connections(warm);
  }
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] Communicator& host() override { return *host_; }

  void all_reduce(const View& data, Reduction op) override;
  void all_gather(const ConstView& from, const View& to) override {
    start_all_gather(from, to)->wait();
  }
  void reduce_scatter(const ConstView& from, const View& to) override;
  RequestPtr start_reduce_scatter(const ConstView& from, const View& to, bool accumulate,
                                  const View& room) override;
  RequestPtr start_all_gather(const ConstView& from, const View& to) override;
  void broadcast(const View& data, int root) override;
  RequestPtr start_send(const ConstView& data, int to, int tag) override;
  RequestPtr start_receive(const View& data, int from, int tag) override;
  void connect_ring() override;
  void barrier() override { host_->barrier(); }
  std::unique_ptr<Communicator> split(int color, int key) override;
  std::vector<std::string> gather_text(const std::string& text, int root) override {
    return host_->gather_text(text, root);
  }

 private:
  /// On the lane's stream, sends a block of `from` to each other rank. Receives theirs in
  /// `others`, in rank order without this rank.
  void exchange_blocks(const ConstView& from, std::byte* others);
  /// Exchanges the blocks of `from`, and sums them to `to`.
  void sum_blocks(const ConstView& from, std::byte* others, const View& to, bool accumulate);
  void sum_long(const View& data, std::byte* scratch);
  void sum_short(const View& data, std::byte* scratch);
  [[nodiscard]] std::unique_ptr<Buffer> scratch(std::size_t bytes) const {
    return std::make_unique<Buffer>(device_, bytes);
  }
  [[nodiscard]] RequestPtr request(const std::shared_ptr<Lane>& lane,
                                   std::unique_ptr<Buffer> scratch = nullptr) const {
    return make_request(lane, compute_, std::move(scratch));
  }
  void make_connections(Warm warm);
  void move_bucket(Warm warm);
  [[nodiscard]] std::shared_ptr<Lane> connect(int other, bool sends);
  /// Calls to(tag) and from(tag) for each direction, when both ends of a lane must meet. Even
  /// and odd ranks begin at different ends: otherwise each would wait for the next.
  template <class To, class From>
  void in_turn(To to, From from) const {
    for (const std::size_t tag : {0U, 1U}) {
      if (rank_ % 2 == 0) to(tag);
      from(tag);
      if (rank_ % 2 == 1) to(tag);
    }
  }
  /// The rank that receives this rank's messages with `tag` (side +1) or sends them (−1).
  [[nodiscard]] int neighbour(int tag, int side) const {
    const int step = tag % 2 == 0 ? side : -side;
    return (rank_ + step + size_) % size_;
  }
  [[nodiscard]] const std::shared_ptr<Lane>& lane_of(
      const std::array<std::shared_ptr<Lane>, 2>& lanes, int other, int tag, int side) const {
    TRM_CHECK(tag >= 0 && other == neighbour(tag, side),
              "a message with tag {} between ranks {} and {} of {}", tag, rank_, other, size_);
    const auto& lane = lanes[static_cast<std::size_t>(tag % 2)];
    TRM_CHECK(lane != nullptr, "a message before connect_ring()");
    return lane;
  }

  std::unique_ptr<Communicator> host_;
  Device& device_;
  Stream& compute_;
  std::shared_ptr<Lane> lane_;
  Tuning tuning_;
  int rank_;
  int size_;
  /// Indexed by tag % 2. NCCL matches messages by order, and a blocked message holds up those
  /// behind it. Each direction of each pair of ranks has its own NCCL communicator and stream.
  std::array<std::shared_ptr<Lane>, 2> out_;
  std::array<std::shared_ptr<Lane>, 2> in_;
};

}  // namespace trireme::cuda
