// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: 8 bytes of little-endian length, then JSON. The JSON names
// each tensor with its type, shape and place among the bytes that follow. The layout is
// published at github.com/huggingface/safetensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "trireme/core/dtype.hpp"
#include "trireme/core/shape.hpp"

namespace trireme::huggingface {

/// A tensor of a file. Types that this program doesn't read have a name and a size alone.
struct StoredTensor {
  std::string type{};  ///< the file's word, such as "BF16"
  Shape shape{};       ///< at most four axes, else empty
  int axes = 0;
  std::int64_t begin = 0;  ///< offset in the file
  std::int64_t bytes = 0;
};

using TensorTable = std::map<std::string, StoredTensor>;

constexpr std::int64_t kLengthBytes = 8;
/// The limit of the published reader.
constexpr std::int64_t kMostHeaderBytes = 100'000'000;

/// The length of the header in a file of `file_bytes` bytes that begins with these eight.
/// Throws Error unless such a header fits.
[[nodiscard]] std::int64_t header_length(const unsigned char (&first)[kLengthBytes],
                                         std::int64_t file_bytes);
/// Reads a header of a file of `file_bytes` bytes. Throws Error unless the JSON is well formed,
/// and each tensor has the bytes of its shape and type. All tensors together must fill the file
/// without a gap or an overlap.
[[nodiscard]] TensorTable parse_header(const std::string& header, std::int64_t file_bytes);

/// The element type that a word such as "BF16" names. Throws Error for types that weights of
/// this program can't have.
[[nodiscard]] DType type_of(const std::string& word);
/// The word for f32, bf16 or f16.
[[nodiscard]] std::string word_of(DType type);

}  // namespace trireme::huggingface
