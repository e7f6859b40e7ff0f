// SPDX-License-Identifier: Apache-2.0
// Communication with NCCL. NCCL moves bytes; floating-point sums are computed here.
#include "communicator.hpp"

#include <algorithm>

#include "trireme/comm/blocks.hpp"

#include "../rank_sum.hpp"

namespace trireme::cuda {

namespace {

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
  TRM_CHECK(v.contiguous(), "communication of a strided window {}", v.shape().str());
}

const std::byte* at(const ConstView& v, std::size_t offset) {
  return static_cast<const std::byte*>(v.raw()) + offset;
}

class Done : public Request {
 public:
  bool test() override { return true; }
  void wait() override {}
};

}  // namespace

void NcclCommunicator::all_reduce(const View& data, Reduction op) {
  check_contiguous(data);
  if (lane_ == nullptr || data.count() == 0) return;
  const bool ours = op == Reduction::sum && floating(data.dtype()) && size_ > 1;
  std::unique_ptr<Buffer> room;
  const View flat = data.reshape(Shape{data.count()});
  const std::int64_t whole =
      data.count() < tuning_.nccl_short_sum ? 0 : data.count() / size_ * size_;
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

void NcclCommunicator::reduce_scatter(const ConstView& from, const View& to) {
  check_reduce_scatter(from, to, size_);
  start_reduce_scatter(from, to, false, {})->wait();
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
  const RankAddends all{size_, size_, nullptr, scratch, data.bytes()};
  sum_in_rank_order(lane_->stream(), all, data.dtype(), data, false);
}

void NcclCommunicator::exchange_blocks(const ConstView& from, std::byte* others) {
  const std::size_t block = from.bytes() / static_cast<std::size_t>(size_);
  lane_->queue_together("a reduce-scatter", from.bytes(), [&] {
    std::byte* place = others;
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      const std::byte* const source = at(from, block * static_cast<std::size_t>(r));
      const auto sent = ncclSend(source, block, ncclUint8, r, lane_->comm(), lane_->stream());
      if (sent != ncclSuccess) return sent;
      const auto received =
          ncclRecv(place, block, ncclUint8, r, lane_->comm(), lane_->stream());
      if (received != ncclSuccess) return received;
      place += block;
    }
    return ncclSuccess;
  });
}

void NcclCommunicator::sum_blocks(const ConstView& from, std::byte* others, const View& to,
                                  bool accumulate) {
  const std::size_t block = from.bytes() / static_cast<std::size_t>(size_);
  const RankAddends addends{size_, rank_, at(from, block * static_cast<std::size_t>(rank_)),
                            others, block};
  exchange_blocks(from, others);
  sum_in_rank_order(lane_->stream(), addends, from.dtype(), to, accumulate);
}

RequestPtr NcclCommunicator::start_reduce_scatter(const ConstView& from, const View& to,
                                                  bool accumulate, const View& room) {
  check_reduce_scatter(from, to, accumulate, rank_, size_);
  if (to.count() == 0) return std::make_unique<Done>();
  if (lane_ == nullptr) {
    sum_in_rank_order(native(compute_), {.mine = from.raw()}, from.dtype(), to, accumulate);
    return std::make_unique<Done>();
  }
  const std::size_t needed =
      from.bytes() / static_cast<std::size_t>(size_) * static_cast<std::size_t>(size_ - 1);
  TRM_CHECK(room.empty() || (room.contiguous() && room.bytes() == needed),
            "scratch of {} bytes for {} bytes of other ranks", room.bytes(), needed);
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

}  // namespace trireme::cuda
