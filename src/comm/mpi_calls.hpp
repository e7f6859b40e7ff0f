// SPDX-License-Identifier: Apache-2.0
// What every call of MPI passes through: checked return codes, types, long arrays in pieces.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include <mpi.h>

#include "trireme/comm/communicator.hpp"

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
