// SPDX-License-Identifier: Apache-2.0
// Checks every number of a header before any of them is used.
#include "safetensors_header.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <string_view>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "json.hpp"

namespace trireme::huggingface {

namespace {

constexpr int kDepth = 3;  // header, tensor, shape
constexpr std::size_t kMostName = 512;
constexpr int kMostAxes = 16;

struct Type {
  std::string_view word;
  std::int64_t bytes;
};
constexpr std::array kTypes{Type{"F32", 4},     Type{"BF16", 2},    Type{"F16", 2},
                            Type{"F64", 8},     Type{"I64", 8},     Type{"I32", 4},
                            Type{"I16", 2},     Type{"I8", 1},      Type{"U64", 8},
                            Type{"U32", 4},     Type{"U16", 2},     Type{"U8", 1},
                            Type{"BOOL", 1},    Type{"F8_E4M3", 1}, Type{"F8_E5M2", 1},
                            Type{"F8_E8M0", 1}, Type{"C64", 8}};

/// A whole number ≥ 0 that int64 holds.
std::int64_t count_of(const Json& value, const char* what) {
  TRM_REQUIRE(value.is_number_unsigned() &&
                  value.get<std::uint64_t>() <=
                      static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
              "{} holds {}, which is no whole number ≥ 0", what, brief(value));
  return value.get<std::int64_t>();
}

const Json& member(const Json& tensor, const char* name) {
  const auto at = tensor.find(name);
  TRM_REQUIRE(at != tensor.end(), "it has no {}", name);
  return *at;
}

/// The bytes of a tensor, of which a file can't have more than `most`.
std::int64_t span_of(const std::vector<std::int64_t>& shape, std::int64_t element,
                     std::int64_t most) {
  if (std::ranges::find(shape, 0) != shape.end()) return 0;
  std::int64_t bytes = element;
  for (const std::int64_t extent : shape) {
    TRM_REQUIRE(bytes <= most / extent, "its shape is larger than the file");
    bytes *= extent;
  }
  return bytes;
}

StoredTensor tensor_of(const Json& value, std::int64_t data_begin, std::int64_t data_bytes) {
  TRM_REQUIRE(value.is_object(), "it is no JSON object");
  const Json& word = member(value, "dtype");
  const Json& shape = member(value, "shape");
  const Json& span = member(value, "data_offsets");
  TRM_REQUIRE(value.size() == 3, "it has members besides dtype, shape and data_offsets");
  TRM_REQUIRE(word.is_string(), "its dtype is no text");
  StoredTensor tensor{.type = word.get<std::string>()};
  const auto* const type = std::ranges::find(kTypes, tensor.type, &Type::word);
  TRM_REQUIRE(type != kTypes.end(), "its dtype {} is unknown", brief(word));
  TRM_REQUIRE(shape.is_array() && shape.size() <= kMostAxes, "its shape has over {} axes",
              kMostAxes);
  std::vector<std::int64_t> extents;
  for (const Json& n : shape) extents.push_back(count_of(n, "its shape"));
  tensor.axes = static_cast<int>(extents.size());
  if (tensor.axes <= Shape::kMaxRank) tensor.shape = Shape(extents);
  TRM_REQUIRE(span.is_array() && span.size() == 2, "its data_offsets are not two numbers");
  const std::int64_t begin = count_of(span[0], "data_offsets");
  const std::int64_t end = count_of(span[1], "data_offsets");
  TRM_REQUIRE(begin <= end && end <= data_bytes,
              "its bytes {} to {} are not within the file's {}", begin, end, data_bytes);
  tensor.bytes = span_of(extents, type->bytes, data_bytes);
  TRM_REQUIRE(tensor.bytes == end - begin, "its shape needs {} bytes, but it has {}",
              tensor.bytes, end - begin);
  tensor.begin = data_begin + begin;
  return tensor;
}

void require_text_map(const Json& value) {
  TRM_REQUIRE(value.is_object(), "__metadata__ is no JSON object");
  for (const auto& [name, text] : value.items()) {
    TRM_REQUIRE(text.is_string(), "__metadata__: {} is no text", shortened(name, kMostName));
  }
}

/// All tensors together are the bytes from the header's end to the file's end.
void require_filled(const TensorTable& table, std::int64_t begin, std::int64_t end) {
  std::vector<const TensorTable::value_type*> order;
  for (const auto& tensor : table) order.push_back(&tensor);
  std::ranges::sort(order, {},
                    [](const auto* t) { return std::pair(t->second.begin, t->second.bytes); });
  std::int64_t at = begin;
  for (const auto* tensor : order) {
    TRM_REQUIRE(
        tensor->second.begin == at, "tensor {}: {} the tensor before it",
        printable(tensor->first),
        tensor->second.begin < at ? "it overlaps" : "bytes that are no tensor's follow");
    at += tensor->second.bytes;
  }
  TRM_REQUIRE(at == end, "{} bytes at its end belong to no tensor", end - at);
}

}  // namespace

std::int64_t header_length(const unsigned char (&first)[kLengthBytes],
                           std::int64_t file_bytes) {
  std::uint64_t length = 0;
  for (int i = kLengthBytes; i-- > 0;) length = length << 8U | first[i];
  TRM_REQUIRE(length <= static_cast<std::uint64_t>(kMostHeaderBytes),
              "its header would have {} bytes; at most {} are read", length, kMostHeaderBytes);
  const auto bytes = static_cast<std::int64_t>(length);
  TRM_REQUIRE(bytes <= file_bytes - kLengthBytes,
              "its header would have {} bytes, more than the file", bytes);
  return bytes;
}

TensorTable parse_header(const std::string& header, std::int64_t file_bytes) {
  TRM_REQUIRE(header.starts_with('{'), "its header does not begin with {{");
  const Json all = parse_object(header, kDepth);
  const std::int64_t begin = kLengthBytes + static_cast<std::int64_t>(header.size());
  TensorTable table;
  for (const auto& [name, value] : all.items()) {
    if (name == "__metadata__") {
      require_text_map(value);
      continue;
    }
    TRM_REQUIRE(!name.empty() && name.size() <= kMostName && printable(name) == name,
                "the tensor's name \"{}\" is not one to {} printable bytes",
                shortened(name, kMostName), kMostName);
    try {
      table.emplace(name, tensor_of(value, begin, file_bytes - begin));
    } catch (const Error& e) {
      throw Error(fmt::format("tensor {}: {}", name, e.what()));
    }
  }
  require_filled(table, begin, file_bytes);
  return table;
}

DType type_of(const std::string& word) {
  if (word == "F32") return DType::f32;
  if (word == "BF16") return DType::bf16;
  if (word == "F16") return DType::f16;
  throw Error(
      fmt::format("its type is {}, but weights are read as F32, BF16 or F16: save the model in "
                  "one of these",
                  word));
}

std::string word_of(DType type) {
  switch (type) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    default:
      throw Error(fmt::format("weights in {} are not written", name_of(type)));
  }
}

}  // namespace trireme::huggingface
