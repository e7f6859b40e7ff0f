// SPDX-License-Identifier: Apache-2.0
// Communicator: the communication that training needs, on Views. Counts beyond 2^31 are handled
// inside, but a block of a gather or scatter has less than 2^30 elements.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme {

enum class Reduction : std::uint8_t { sum, max, min };

/// Communication under way. The views of the call must stay valid until wait() returns, and so
/// must the request itself.
class Request {
 public:
  virtual ~Request() = default;
  virtual bool test() = 0;  ///< Makes progress; returns whether all is done.
  virtual void wait() = 0;
};
using RequestPtr = std::unique_ptr<Request>;

/// Ranks that communicate with each other. Every call but the point-to-point ones is
/// collective: all ranks make these calls in one order. Results are bit-equal on all ranks and
/// from run to run. Views must be contiguous. Throws Error when the underlying library fails.
class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  /// In place. Sums of bf16 and fp16 are taken in fp32 and rounded once.
  virtual void all_reduce(const View& data, Reduction op) = 0;
  /// `to` holds size() blocks of `from`'s count, by rank.
  virtual void all_gather(const ConstView& from, const View& to) = 0;
  /// `from` holds size() blocks; `to` receives the sum of block rank().
  virtual void reduce_scatter(const ConstView& from, const View& to) = 0;
  /// Blocks as in reduce_scatter, of any floating types, but not from fp64 to half precision.
  /// The sum is taken in fp32, or in fp64 if `from` is fp64, in the order of the ranks, and
  /// rounded once. Bits of the sum don't depend on how an array is divided into calls. With
  /// `accumulate` the sum is added to what `to` holds. Without, `to` may be block rank() of a
  /// `from` of its type. Neither view may be touched before the request is done. What other
  /// ranks send is kept in `room`, which belongs to the request until the request is done.
  /// `room` has size() − 1 blocks of `from`'s type. If `room` is empty, the communicator takes
  /// memory of its own.
  [[nodiscard]] virtual RequestPtr start_reduce_scatter(const ConstView& from, const View& to,
                                                        bool accumulate,
                                                        const View& room = {}) = 0;
  /// Starts an all_gather. `from` may be block rank() of `to`.
  [[nodiscard]] virtual RequestPtr start_all_gather(const ConstView& from, const View& to) = 0;
  virtual void broadcast(const View& data, int root) = 0;
  /// Messages with a tag ≥ 0, by which sends and receives are matched. NCCL matches messages by
  /// their order instead, and only between neighbours of connect_ring(). Even tags then go to
  /// the next rank, odd tags to the rank before. Messages of even tags are sent in the order of
  /// their receives, and so are messages of odd tags.
  [[nodiscard]] virtual RequestPtr start_send(const ConstView& data, int to, int tag) = 0;
  [[nodiscard]] virtual RequestPtr start_receive(const View& data, int from, int tag) = 0;
  /// Call this before messages between neighbours; rank 0 follows the last rank. Collective.
  virtual void connect_ring() {}
  virtual void barrier() = 0;
  /// Ranks of equal `color` form a communicator, in the order of `key`. Collective.
  [[nodiscard]] virtual std::unique_ptr<Communicator> split(int color, int key) = 0;
  /// Each `size` consecutive ranks form a communicator. `size` divides size(). Collective.
  [[nodiscard]] virtual std::unique_ptr<Communicator> split_neighbours(int size) {
    return split(rank() / size, rank() % size);
  }

  /// A communicator of these ranks for host memory: itself, unless its arrays are a GPU's.
  [[nodiscard]] virtual Communicator& host() { return *this; }

  // Values in host memory, for set-up and agreement. Collective.
  [[nodiscard]] double reduce_value(double value, Reduction op);
  [[nodiscard]] std::int64_t reduce_count(std::int64_t value, Reduction op);
  /// The root's text, on all ranks.
  [[nodiscard]] std::string broadcast_text(const std::string& text, int root);
  /// Every rank's text by rank; empty except on the root.
  [[nodiscard]] virtual std::vector<std::string> gather_text(const std::string& text,
                                                             int root) = 0;
  /// Throws on all ranks, with the lowest failing rank's message and errno, if any rank has an
  /// error.
  void agree(const std::optional<Error>& mine);
};

/// A communicator of one rank.
[[nodiscard]] std::unique_ptr<Communicator> make_self_communicator();

}  // namespace trireme
