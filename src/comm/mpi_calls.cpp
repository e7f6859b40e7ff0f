// SPDX-License-Identifier: Apache-2.0
// Return codes, types and requests of MPI.
#include "mpi_calls.hpp"

#include <array>

namespace trireme::mpi {

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw Error(fmt::format("{} failed: {}", what,
                          std::string_view(text.data(), static_cast<std::size_t>(length))));
}

MPI_Datatype type_of(DType t) {
  switch (t) {
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i32:
      return MPI_INT32_T;
    case DType::i64:
      return MPI_INT64_T;
    case DType::u8:
      return MPI_UINT8_T;
    case DType::u16:
      return MPI_UINT16_T;
    case DType::u32:
      return MPI_UINT32_T;
    case DType::u64:
      return MPI_UINT64_T;
    case DType::f16:
    case DType::bf16:
      return MPI_UINT16_T;
  }
  throw Error("unknown element type");
}

MPI_Datatype summable_type_of(DType t) {
  TRM_CHECK(t != DType::f16 && t != DType::bf16, "MPI cannot sum {}", name_of(t));
  return type_of(t);
}

MPI_Op op_of(Reduction op) {
  switch (op) {
    case Reduction::sum:
      return MPI_SUM;
    case Reduction::max:
      return MPI_MAX;
    case Reduction::min:
      return MPI_MIN;
  }
  throw Error("unknown reduction");
}

int count_of(const ConstView& block) {
  TRM_CHECK(block.count() < kMaxCount, "a block of {} elements is too large", block.count());
  return static_cast<int>(block.count());
}

bool MpiRequest::test() {
  int done = 0;
  check(MPI_Testall(count(), parts_.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
  return done != 0;
}

void MpiRequest::wait() {
  check(MPI_Waitall(count(), parts_.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
}

}  // namespace trireme::mpi
