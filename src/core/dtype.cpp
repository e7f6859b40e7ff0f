// SPDX-License-Identifier: Apache-2.0
// Sizes and names of element types.
#include "trireme/core/dtype.hpp"

#include "trireme/core/error.hpp"

namespace trireme {

std::size_t size_of(DType t) {
  switch (t) {
    case DType::u8:
      return 1;
    case DType::f16:
    case DType::bf16:
    case DType::u16:
      return 2;
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    case DType::f64:
    case DType::i64:
    case DType::u64:
      return 8;
  }
  throw Error("unknown element type");
}

std::string_view name_of(DType t) {
  switch (t) {
    case DType::f32:
      return "fp32";
    case DType::f64:
      return "fp64";
    case DType::f16:
      return "fp16";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "int32";
    case DType::i64:
      return "int64";
    case DType::u8:
      return "uint8";
    case DType::u16:
      return "uint16";
    case DType::u32:
      return "uint32";
    case DType::u64:
      return "uint64";
  }
  throw Error("unknown element type");
}

}  // namespace trireme
