// SPDX-License-Identifier: Apache-2.0
// Collectives under way while the ranks compute. test() and wait() do the arithmetic.
#include "mpi_collectives.hpp"

#include "trireme/comm/blocks.hpp"
#include "trireme/core/convert.hpp"

#include "rank_sum.hpp"

namespace trireme::mpi {

namespace {

/// The tag of these collectives: the largest tag that MPI allows, which no other message here
/// uses. All ranks start collectives in one order, and messages of one tag keep their order.
int exchange_tag() {
  void* value = nullptr;
  int known = 0;
  check(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &value, &known), "MPI_Comm_get_attr");
  TRM_CHECK(known != 0, "MPI names no largest tag");
  return *static_cast<const int*>(value);
}

/// Messages, and then one call of finish() on what the messages brought.
class RequestThen : public Request {
 public:
  explicit RequestThen(std::vector<MPI_Request> parts) : messages_(std::move(parts)) {}
  bool test() override {
    if (!done_ && messages_.test()) complete();
    return done_;
  }
  void wait() override {
    if (done_) return;
    messages_.wait();
    complete();
  }

 protected:
  virtual void finish() = 0;

 private:
  void complete() {
    finish();
    done_ = true;
  }
  MpiRequest messages_;
  bool done_ = false;
};

class ReduceScatter : public RequestThen {
 public:
  ReduceScatter(std::vector<MPI_Request> parts, std::vector<const void*> blocks, DType from,
                const View& to, bool accumulate, std::unique_ptr<Scratch> received)
      : RequestThen(std::move(parts)),
        blocks_(std::move(blocks)),
        from_(from),
        to_(to),
        accumulate_(accumulate),
        received_(std::move(received)) {}

 private:
  void finish() override {
    sum_in_rank_order(blocks_, from_, to_, accumulate_);
    received_.reset();
  }
  std::vector<const void*> blocks_;
  DType from_;
  View to_;
  bool accumulate_;
  std::unique_ptr<Scratch> received_;
};

std::unique_ptr<Scratch> widened(const View& data, const std::shared_ptr<ScratchPool>& pool) {
  TRM_CHECK(data.contiguous(), "communication of a strided window {}", data.shape().str());
  auto wide =
      std::make_unique<Scratch>(pool, static_cast<std::size_t>(data.count()) * sizeof(float));
  widen(data.dtype(), data.raw(), reinterpret_cast<float*>(wide->data()), data.count());
  return wide;
}

View as_floats(const Scratch& wide, const View& data) {
  return {wide.data(), DType::f32, Shape{data.count()}};
}

void narrow_from(const Scratch& wide, const View& data) {
  narrow(reinterpret_cast<const float*>(wide.data()), data.dtype(), data.raw(), data.count());
}

}  // namespace

RequestPtr start_reduce_scatter(MPI_Comm comm, const ConstView& from, const View& to,
                                bool accumulate, const View& room,
                                const std::shared_ptr<ScratchPool>& pool) {
  int rank = 0;
  int size = 1;
  check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  check_reduce_scatter(from, to, accumulate, rank, size);
  TRM_CHECK(room.empty() || (room.dtype() == from.dtype() && room.contiguous() &&
                             room.count() == to.count() * (size - 1)),
            "room of {} {} for {} blocks of {} {}", name_of(room.dtype()), room.shape().str(),
            size - 1, name_of(from.dtype()), to.shape().str());
  const int count = count_of(to);
  const std::size_t bytes = static_cast<std::size_t>(count) * size_of(from.dtype());
  const auto* const mine = static_cast<const std::byte*>(from.raw());
  const MPI_Datatype type = type_of(from.dtype());
  std::vector<const void*> blocks(static_cast<std::size_t>(size));
  blocks[static_cast<std::size_t>(rank)] = mine + bytes * static_cast<std::size_t>(rank);
  std::unique_ptr<Scratch> received;
  std::vector<MPI_Request> parts;
  if (size > 1 && count > 0) {
    const int tag = exchange_tag();
    auto* others = static_cast<std::byte*>(room.raw());
    if (room.empty()) {
      received = std::make_unique<Scratch>(pool, bytes * static_cast<std::size_t>(size - 1));
      others = received->data();
    }
    // Each rank begins with its neighbour, so that not all send to rank 0 first.
    for (int step = 1; step < size; ++step) {
      const int other = (rank + size - step) % size;
      std::byte* const block = others + bytes * static_cast<std::size_t>(step - 1);
      blocks[static_cast<std::size_t>(other)] = block;
      check(MPI_Irecv(block, count, type, other, tag, comm, &parts.emplace_back()),
            "MPI_Irecv");
    }
    for (int step = 1; step < size; ++step) {
      const int other = (rank + step) % size;
      check(MPI_Isend(mine + bytes * static_cast<std::size_t>(other), count, type, other, tag,
                      comm, &parts.emplace_back()),
            "MPI_Isend");
    }
  }
  return std::make_unique<ReduceScatter>(std::move(parts), std::move(blocks), from.dtype(), to,
                                         accumulate, std::move(received));
}

void all_reduce_half(MPI_Comm comm, const View& data, Reduction op,
                     const std::shared_ptr<ScratchPool>& pool) {
  const auto wide = widened(data, pool);  // MPI_Iallreduce would take three times as long
  in_parts(as_floats(*wide, data), [&](void* p, int n) {
    check(MPI_Allreduce(MPI_IN_PLACE, p, n, MPI_FLOAT, op_of(op), comm), "MPI_Allreduce");
  });
  narrow_from(*wide, data);
}

}  // namespace trireme::mpi
