// SPDX-License-Identifier: Apache-2.0
// Connects ranks with NCCL: all ranks, subsets of them, and neighbours.
#include <array>
#include <unistd.h>

#include "trireme/backend/cuda.hpp"
#include "trireme/comm/collectively.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"

#include "../../runtime/check.hpp"
#include "../../runtime/probe.hpp"
#include "communicator.hpp"

namespace trireme {

namespace cuda {

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 18, 0), "ncclCommSplit came with NCCL 2.18");

void NcclCommunicator::connect_ring() {
  if (size_ == 1 || out_[0] != nullptr) return;
  in_turn(
      [&](std::size_t tag) { out_[tag] = connect(neighbour(static_cast<int>(tag), 1), true); },
      [&](std::size_t tag) {
        in_[tag] = connect(neighbour(static_cast<int>(tag), -1), false);
      });
}

NcclCommunicator::~NcclCommunicator() {
  // Destroying an NCCL communicator may also wait for its other ranks.
  in_turn([&](std::size_t tag) { out_[tag].reset(); },
          [&](std::size_t tag) { in_[tag].reset(); });
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
      join(id, 2, sends ? 0 : 1, tuning_.nccl_message_blocks),
      fmt::format("messages from rank {} to {}", sends ? rank_ : other, sends ? other : rank_));
  // The first message makes the connection, for which the host waits. Send it before the first
  // step.
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
    // A job with one rank uses NCCL all the same; in other jobs, single ranks need no NCCL.
    const bool wanted = part->size() > 1 || size_ == 1;
    TRM_CHECK(color >= 0, "a communicator of colour {}", color);
    ncclConfig_t config = config_of(tuning_.nccl_collective_blocks);
    ncclComm_t comm = nullptr;
    lane_->queue("a communicator's split", 0, [&] {
      return ncclCommSplit(lane_->comm(), wanted ? color : NCCL_SPLIT_NOCOLOR, key, &comm,
                           &config);
    });
    if (wanted) {
      int at_nccl = 0;
      lane = std::make_shared<Lane>(
          comm, fmt::format("rank {} of a communicator of {}", part->rank(), part->size()));
      lane->queue("its set-up", 0, [&] { return ncclCommUserRank(comm, &at_nccl); });
      TRM_CHECK(at_nccl == part->rank(), "rank {} is {} at NCCL", part->rank(), at_nccl);
    }
  }
  return std::make_unique<NcclCommunicator>(std::move(part), device_, compute_, std::move(lane),
                                            tuning_, Warm::messages_too);
}

/// Makes connections with a first all-reduce. Later all-reduces are timed and show the latency.
void NcclCommunicator::make_connections(Warm warm) {
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
  move_bucket(warm);
  lane_->synchronize();
  const double begin = now();
  for (int i = 0; i < kRuns; ++i) sum();
  lane_->synchronize();
  if (size_ == 1) return;
  log::info("NCCL     {} ranks, {:.0f} µs for the shortest all-reduce", size_,
            (now() - begin) / kRuns * 1e6);
}

/// Gathers a bucket, and may exchange its blocks with all ranks. Long arrays may go by other
/// connections than short ones, and messages need a connection for each pair of ranks.
void NcclCommunicator::move_bucket(Warm warm) {
  const std::int64_t block = (std::int64_t{tuning_.nccl_first_mib} << 20U) / size_;
  const Tensor all(device_, DType::u8, Shape{block * size_});
  const Buffer others(device_, static_cast<std::size_t>(block * (size_ - 1)));
  device_.zero(all.view().raw(), all.view().bytes(), compute_);
  const View mine = all.view().slice_cols(block * rank_, block);
  start_all_gather(mine, all.view())->wait();
  if (warm == Warm::messages_too) {
    exchange_blocks(all.view(), static_cast<std::byte*>(others.data()));
  }
  lane_->synchronize();
}

namespace {

/// On rank 0, names two ranks that share a GPU, or returns "". Returns "" on other ranks.
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

std::string nccl_trouble() {
  constexpr int kOldest = NCCL_VERSION(2, 18, 0);
  try {
    int version = 0;
    if (ncclGetVersion(&version) == ncclSuccess && version >= kOldest) return "";
    return fmt::format("libnccl.so.{} is older than 2.18; install a newer one", NCCL_MAJOR);
  } catch (const Error& e) {
    return e.what();
  }
}

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host,
                                                     Device& device, Stream& compute) {
  const std::string shared = cuda::shared_gpu(*host);
  collectively(*host, [&] { TRM_REQUIRE(shared.empty(), "{}", shared); });
  ncclUniqueId id{};
  if (host->rank() == 0) id = cuda::make_unique_id();
  host->broadcast(View(&id, DType::u8, Shape{sizeof(id)}), 0);
  const int rank = host->rank();
  const int size = host->size();
  const cuda::Tuning tuning = cuda::tuning_of_environment();
  auto lane =
      std::make_shared<cuda::Lane>(cuda::join(id, size, rank, tuning.nccl_collective_blocks),
                                   fmt::format("rank {} of all {}", rank, size));
  // All ranks together only gather short arrays, and might be too many for a connection of each
  // pair.
  return std::make_unique<cuda::NcclCommunicator>(std::move(host), device, compute,
                                                  std::move(lane), tuning,
                                                  cuda::NcclCommunicator::Warm::gathers);
}

}  // namespace trireme
