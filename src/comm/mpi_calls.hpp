// SPDX-License-Identifier: Apache-2.0
// What every call of MPI passes through: checked return codes, types, long arrays in pieces.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <mpi.h>

#include "trireme/comm/communicator.hpp"
#include "trireme/comm/wait_record.hpp"

namespace trireme::mpi {

/// Throws Error with MPI's text if `code`, returned by `what`, is not success.
void check(int code, const char* what);

/// bf16 and fp16 travel as 16-bit words: MPI can move them and cannot sum them.
[[nodiscard]] MPI_Datatype type_of(DType t);
[[nodiscard]] MPI_Datatype summable_type_of(DType t);
[[nodiscard]] MPI_Op op_of(Reduction op);

/// MPI's counts are ints, so longer arrays go in several calls.
inline constexpr std::int64_t kMaxCount = std::int64_t{1} << 30;

/// The count of a block. Throws Error if the block is too long for one call.
[[nodiscard]] int count_of(const ConstView& block);

/// Calls f(first address, count) on pieces of at most kMaxCount elements.
template <class ViewType, class F>
void in_parts(const ViewType& v, F&& f) {
  TRM_CHECK(v.contiguous(), "communication of a strided window {}", v.shape().str());
  using Byte = std::conditional_t<std::is_same_v<ViewType, View>, std::byte, const std::byte>;
  auto* base = static_cast<Byte*>(v.raw());
  const std::int64_t n = v.count();
  for (std::int64_t at = 0; at < n; at += kMaxCount) {
    f(base + static_cast<std::size_t>(at) * size_of(v.dtype()),
      static_cast<int>(std::min(kMaxCount, n - at)));
  }
}

/// Names what wait() of another request waits for.
class NamedRequest : public Request {
 public:
  NamedRequest(RequestPtr request, const char* operation,
               std::shared_ptr<const NamedRanks> group, std::int64_t number, int peer = -1)
      : request_(std::move(request)),
        operation_(operation),
        group_(std::move(group)),
        number_(number),
        peer_(peer) {}
  bool test() override { return request_->test(); }
  void wait() override {
    const WaitScope scope(operation_, group_, number_, peer_);
    request_->wait();
  }

 private:
  RequestPtr request_;
  const char* operation_;
  std::shared_ptr<const NamedRanks> group_;
  std::int64_t number_;
  int peer_;
};

/// Done when all its messages are.
class MpiRequest : public Request {
 public:
  explicit MpiRequest(std::vector<MPI_Request> parts) : parts_(std::move(parts)) {}
  bool test() override;
  void wait() override;

 private:
  [[nodiscard]] int count() const { return static_cast<int>(parts_.size()); }
  std::vector<MPI_Request> parts_;
};

}  // namespace trireme::mpi
