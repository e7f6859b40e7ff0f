// SPDX-License-Identifier: Apache-2.0
// Communicator over NCCL. Sums of floating types are our own, in the order of the ranks: NCCL
// would add bf16 and fp16 rounded to their type at every hop, and in an order of its choice.
// Each rank gets the others' addends of its block and sums them; then the sums are gathered:
// the bytes of a ring.
#include <array>
#include <unistd.h>

#include "trireme/backend/cuda.hpp"
#include "trireme/comm/blocks.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"

#include "../check.hpp"
#include "../probe.hpp"
#include "../rank_sum.hpp"
#include "lane.hpp"

namespace trireme {

namespace cuda {

namespace {

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 18, 0), "ncclCommSplit came with NCCL 2.18");

/// Shorter sums are gathered whole and summed by every rank: one exchange instead of two.
constexpr std::int64_t kLong = 8192;

ncclDataType_t type_of(DType t) {
  switch (t) {
    case DType::f32:
      return ncclFloat32;
    case DType::f64:
      return ncclFloat64;
    case DType::f16:
      return ncclFloat16;
    case DType::bf16:
      return ncclBfloat16;
    case DType::i32:
      return ncclInt32;
    case DType::i64:
      return ncclInt64;
    case DType::u8:
      return ncclUint8;
    case DType::u32:
      return ncclUint32;
    case DType::u64:
      return ncclUint64;
    case DType::u16:
      break;
  }
  throw Error(fmt::format("NCCL doesn't reduce {}", name_of(t)));
}

ncclRedOp_t op_of(Reduction op) {
  switch (op) {
    case Reduction::sum:
      return ncclSum;
    case Reduction::max:
      return ncclMax;
    case Reduction::min:
      return ncclMin;
  }
  throw Error("unknown reduction");
}

void check_contiguous(const ConstView& v) {
  TRM_CHECK(v.contiguous(), "an exchange of a strided window {}", v.shape().str());
}

std::byte* at(const View& v, std::size_t offset) {
  return static_cast<std::byte*>(v.raw()) + offset;
}
const std::byte* at(const ConstView& v, std::size_t offset) {
  return static_cast<const std::byte*>(v.raw()) + offset;
}

class Done : public Request {
 public:
  bool test() override { return true; }
  void wait() override {}
};

class NcclCommunicator final : public Communicator {
 public:
  /// `lane` is empty in a group of one, whose arrays stay on the compute stream.
  NcclCommunicator(std::unique_ptr<Communicator> host, Device& device, Stream& compute,
                   std::shared_ptr<Lane> lane)
      : host_(std::move(host)),
        device_(device),
        compute_(compute),
        lane_(std::move(lane)),
        rank_(host_->rank()),
        size_(host_->size()) {
    if (lane_ != nullptr) warm();
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] Communicator& host() override { return *host_; }

  void all_reduce(const View& data, Reduction op) override;
  void all_gather(const ConstView& from, const View& to) override {
    start_all_gather(from, to)->wait();
  }
  void reduce_scatter(const ConstView& from, const View& to) override {
    check_reduce_scatter(from, to, size_);
    start_reduce_scatter(from, to, false, {})->wait();
  }
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
  /// The others' blocks of `from` arrive in `others`, by rank without this one; the sum goes to
  /// `to`. On the lane's stream.
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
  void warm();
  [[nodiscard]] std::shared_ptr<Lane> connect(int other, bool sends);
  /// The rank that messages with such tags go to (+1) or come from (−1).
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
  int rank_;
  int size_;
  /// By tag % 2. NCCL matches messages by their order, and one that can't go yet keeps those
  /// behind it: each direction of each pair has a communicator and a stream to itself.
  std::array<std::shared_ptr<Lane>, 2> out_;
  std::array<std::shared_ptr<Lane>, 2> in_;
};

void NcclCommunicator::all_reduce(const View& data, Reduction op) {
  check_contiguous(data);
  if (lane_ == nullptr || data.count() == 0) return;
  const bool ours = op == Reduction::sum && floating(data.dtype()) && size_ > 1;
  std::unique_ptr<Buffer> room;
  const View flat = data.reshape(Shape{data.count()});
  const std::int64_t whole = data.count() < kLong ? 0 : data.count() / size_ * size_;
  if (ours) {
    const std::int64_t rest = data.count() - whole;
    const std::int64_t elements = std::max(whole / size_ * (size_ - 1), rest * size_);
    room = scratch(static_cast<std::size_t>(elements) * size_of(data.dtype()));
  }
  lane_->follow(compute_);
  if (!ours) {
    lane_->queue("an all-reduce", data.bytes(), [&] {
      return ncclAllReduce(data.raw(), data.raw(), static_cast<std::size_t>(data.count()),
                           type_of(data.dtype()), op_of(op), lane_->comm(), lane_->stream());
    });
  } else {
    auto* const memory = static_cast<std::byte*>(room->data());
    if (whole > 0) sum_long(flat.slice_cols(0, whole), memory);
    if (whole < flat.count()) {
      sum_short(flat.slice_cols(whole, flat.count() - whole), memory);
    }
  }
  request(lane_, std::move(room))->wait();
}

void NcclCommunicator::sum_long(const View& data, std::byte* scratch) {
  const std::int64_t block = data.count() / size_;
  const View mine = data.slice_cols(block * rank_, block);
  sum_blocks(data, scratch, mine, false);
  lane_->queue("an all-reduce's gather", data.bytes(), [&] {
    return ncclAllGather(mine.raw(), data.raw(), mine.bytes(), ncclUint8, lane_->comm(),
                         lane_->stream());
  });
}

void NcclCommunicator::sum_short(const View& data, std::byte* scratch) {
  lane_->queue("an all-reduce's gather", data.bytes(), [&] {
    return ncclAllGather(data.raw(), scratch, data.bytes(), ncclUint8, lane_->comm(),
                         lane_->stream());
  });
  std::vector<const void*> addends;
  for (int r = 0; r < size_; ++r) {
    addends.push_back(scratch + data.bytes() * static_cast<std::size_t>(r));
  }
  sum_in_rank_order(lane_->stream(), addends, data.dtype(), data, false);
}

void NcclCommunicator::sum_blocks(const ConstView& from, std::byte* others, const View& to,
                                  bool accumulate) {
  const std::size_t block = from.bytes() / static_cast<std::size_t>(size_);
  std::vector<const void*> addends;
  lane_->queue_together("a reduce-scatter", from.bytes(), [&] {
    std::byte* place = others;
    for (int r = 0; r < size_; ++r) {
      const std::byte* const source = at(from, block * static_cast<std::size_t>(r));
      addends.push_back(r == rank_ ? source : place);
      if (r == rank_) continue;
      const auto sent = ncclSend(source, block, ncclUint8, r, lane_->comm(), lane_->stream());
      if (sent != ncclSuccess) return sent;
      const auto received =
          ncclRecv(place, block, ncclUint8, r, lane_->comm(), lane_->stream());
      if (received != ncclSuccess) return received;
      place += block;
    }
    return ncclSuccess;
  });
  sum_in_rank_order(lane_->stream(), addends, from.dtype(), to, accumulate);
}

RequestPtr NcclCommunicator::start_reduce_scatter(const ConstView& from, const View& to,
                                                  bool accumulate, const View& room) {
  check_reduce_scatter(from, to, accumulate, rank_, size_);
  if (to.count() == 0) return std::make_unique<Done>();
  if (lane_ == nullptr) {
    const void* const only = from.raw();
    sum_in_rank_order(native(compute_), {&only, 1}, from.dtype(), to, accumulate);
    return std::make_unique<Done>();
  }
  const std::size_t needed =
      from.bytes() / static_cast<std::size_t>(size_) * static_cast<std::size_t>(size_ - 1);
  TRM_CHECK(room.empty() || (room.contiguous() && room.bytes() == needed),
            "room of {} bytes for {} of other ranks", room.bytes(), needed);
  auto own = room.empty() && needed > 0 ? scratch(needed) : nullptr;
  lane_->follow(compute_);
  sum_blocks(from, static_cast<std::byte*>(own != nullptr ? own->data() : room.raw()), to,
             accumulate);
  return request(lane_, std::move(own));
}

RequestPtr NcclCommunicator::start_all_gather(const ConstView& from, const View& to) {
  check_all_gather(from, to, rank_, size_);
  if (from.count() == 0) return std::make_unique<Done>();
  if (lane_ == nullptr) {
    if (from.raw() != to.raw()) device_.copy(to.raw(), from.raw(), from.bytes(), compute_);
    return std::make_unique<Done>();
  }
  lane_->follow(compute_);
  lane_->queue("an all-gather", to.bytes(), [&] {
    return ncclAllGather(from.raw(), to.raw(), from.bytes(), ncclUint8, lane_->comm(),
                         lane_->stream());
  });
  return request(lane_);
}

void NcclCommunicator::broadcast(const View& data, int root) {
  check_contiguous(data);
  if (lane_ == nullptr || data.count() == 0) return;
  lane_->follow(compute_);
  lane_->queue("a broadcast", data.bytes(), [&] {
    return ncclBroadcast(data.raw(), data.raw(), data.bytes(), ncclUint8, root, lane_->comm(),
                         lane_->stream());
  });
  request(lane_)->wait();
}

RequestPtr NcclCommunicator::start_send(const ConstView& data, int to, int tag) {
  check_contiguous(data);
  const auto& lane = lane_of(out_, to, tag, 1);
  lane->follow(compute_);
  lane->queue("a send", data.bytes(), [&] {
    return ncclSend(data.raw(), data.bytes(), ncclUint8, 1, lane->comm(), lane->stream());
  });
  return request(lane);
}

RequestPtr NcclCommunicator::start_receive(const View& data, int from, int tag) {
  check_contiguous(data);
  const auto& lane = lane_of(in_, from, tag, -1);
  lane->follow(compute_);
  lane->queue("a receive", data.bytes(), [&] {
    return ncclRecv(data.raw(), data.bytes(), ncclUint8, 0, lane->comm(), lane->stream());
  });
  return request(lane);
}

void NcclCommunicator::connect_ring() {
  if (size_ == 1 || out_[0] != nullptr) return;
  for (const int tag : {0, 1}) {
    const auto i = static_cast<std::size_t>(tag);
    const auto to = [&] { out_[i] = connect(neighbour(tag, 1), true); };
    const auto from = [&] { in_[i] = connect(neighbour(tag, -1), false); };
    // Each waits for the other end. Were all to begin with the same one, none would end.
    if (rank_ % 2 == 0) to();
    from();
    if (rank_ % 2 == 1) to();
  }
}

std::shared_ptr<Lane> NcclCommunicator::connect(int other, bool sends) {
  ncclUniqueId id{};
  const View bytes(&id, DType::u8, Shape{sizeof(id)});
  if (sends) {
    id = make_unique_id();
    host_->start_send(bytes, other, 0)->wait();
  } else {
    host_->start_receive(bytes, other, 0)->wait();
  }
  auto lane = std::make_shared<Lane>(
      join(id, 2, sends ? 0 : 1),
      fmt::format("messages from rank {} to {}", sends ? rank_ : other, sends ? other : rank_));
  // The first message makes the connection, for which the host waits: not within a step.
  const Buffer word(device_, sizeof(float));
  lane->follow(compute_);
  lane->queue("the first message", word.bytes(), [&] {
    return sends
               ? ncclSend(word.data(), word.bytes(), ncclUint8, 1, lane->comm(), lane->stream())
               : ncclRecv(word.data(), word.bytes(), ncclUint8, 0, lane->comm(),
                          lane->stream());
  });
  lane->synchronize();
  return lane;
}

std::unique_ptr<Communicator> NcclCommunicator::split(int color, int key) {
  auto part = host_->split(color, key);
  std::shared_ptr<Lane> lane;
  if (lane_ != nullptr) {
    // A job of one rank has its groups by NCCL all the same; others need none for one rank.
    const bool wanted = part->size() > 1 || size_ == 1;
    TRM_CHECK(color >= 0, "a group of colour {}", color);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 1;
    ncclComm_t comm = nullptr;
    lane_->queue("the split of a group", 0, [&] {
      return ncclCommSplit(lane_->comm(), wanted ? color : NCCL_SPLIT_NOCOLOR, key, &comm,
                           &config);
    });
    if (wanted) {
      int at_nccl = 0;
      lane = std::make_shared<Lane>(
          comm, fmt::format("rank {} of a group of {}", part->rank(), part->size()));
      lane->queue("its set-up", 0, [&] { return ncclCommUserRank(comm, &at_nccl); });
      TRM_CHECK(at_nccl == part->rank(), "rank {} is {} at NCCL", part->rank(), at_nccl);
    }
  }
  return std::make_unique<NcclCommunicator>(std::move(part), device_, compute_,
                                            std::move(lane));
}

/// The first exchange makes connections; later ones show what the group's distance costs.
void NcclCommunicator::warm() {
  constexpr int kRuns = 20;
  const Buffer memory(device_, sizeof(float));
  device_.zero(memory.data(), memory.bytes(), compute_);
  lane_->follow(compute_);
  const auto sum = [&] {
    lane_->queue("the first all-reduce", memory.bytes(), [&] {
      return ncclAllReduce(memory.data(), memory.data(), 1, ncclFloat32, ncclSum, lane_->comm(),
                           lane_->stream());
    });
  };
  sum();
  lane_->synchronize();
  const double begin = now();
  for (int i = 0; i < kRuns; ++i) sum();
  lane_->synchronize();
  log::info("NCCL: {} rank{}, {:.0f} µs for the shortest all-reduce", size_,
            size_ == 1 ? "" : "s", (now() - begin) / kRuns * 1e6);
}

/// Says which ranks share a GPU; "" if none do. On rank 0, "" elsewhere.
std::string shared_gpu(Communicator& host) {
  int index = 0;
  TRM_CUDA(cudaGetDevice(&index));
  cudaDeviceProp properties{};
  TRM_CUDA(cudaGetDeviceProperties(&properties, index));
  std::array<char, 256> machine{};
  gethostname(machine.data(), machine.size() - 1);
  std::string mine = fmt::format("GPU {} of {}, ", properties.name, machine.data());
  for (const char byte : properties.uuid.bytes) {
    mine += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  }
  const std::vector<std::string> all = host.gather_text(mine, 0);
  for (std::size_t a = 0; a < all.size(); ++a) {
    for (std::size_t b = a + 1; b < all.size(); ++b) {
      if (all[a] != all[b]) continue;
      return fmt::format(
          "ranks {} and {} share {}; NCCL needs a GPU for each rank: start fewer ranks a "
          "machine, or set communication: staged",
          a, b, all[a]);
    }
  }
  return "";
}

}  // namespace

std::string nccl_version() { return fmt::format("{}.{}", NCCL_MAJOR, NCCL_MINOR); }

}  // namespace cuda

bool nccl_built() { return true; }

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host,
                                                     Device& device, Stream& compute) {
  host->agree(cuda::shared_gpu(*host));
  ncclUniqueId id{};
  if (host->rank() == 0) id = cuda::make_unique_id();
  host->broadcast(View(&id, DType::u8, Shape{sizeof(id)}), 0);
  const int rank = host->rank();
  const int size = host->size();
  auto lane = std::make_shared<cuda::Lane>(cuda::join(id, size, rank),
                                           fmt::format("rank {} of all {}", rank, size));
  return std::make_unique<cuda::NcclCommunicator>(std::move(host), device, compute,
                                                  std::move(lane));
}

}  // namespace trireme
