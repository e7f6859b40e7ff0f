// SPDX-License-Identifier: Apache-2.0
// IDX: http://yann.lecun.com/exdb/mnist. npy: numpy.lib.format.
#include "array_file.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

constexpr std::size_t kMostAxes = 4;

/// The number of elements. Throws Error if `bytes` don't hold them.
std::size_t require_held(const std::string& path, const std::vector<std::int64_t>& shape,
                         std::size_t width, std::size_t bytes) {
  TRM_REQUIRE(!shape.empty() && shape.size() <= kMostAxes, "{}: an array of {} axes", path,
              shape.size());
  std::size_t count = 1;
  for (const std::int64_t extent : shape) {
    TRM_REQUIRE(extent > 0 && static_cast<std::size_t>(extent) <= bytes / width / count,
                "{}: damaged: {} bytes don't hold an array of [{}] elements of {} bytes", path,
                bytes, fmt::join(shape, ", "), width);
    count *= static_cast<std::size_t>(extent);
  }
  TRM_REQUIRE(count * width == bytes,
              "{}: damaged: {} bytes are not an array of [{}] elements of {} bytes", path,
              bytes, fmt::join(shape, ", "), width);
  return count;
}

IntegerArray read_idx(const std::string& path, std::vector<std::uint8_t>& bytes) {
  const std::size_t axes = bytes[3];
  const std::size_t head = 4 + 4 * axes;
  TRM_REQUIRE(bytes.size() >= head, "{}: damaged: it ends within its {} extents", path, axes);
  IntegerArray array;
  for (std::size_t a = 0; a < axes; ++a) {
    const std::uint8_t* const at = &bytes[4 + 4 * a];
    array.shape.push_back(std::int64_t{at[0]} << 24 | std::int64_t{at[1]} << 16 |
                          std::int64_t{at[2]} << 8 | std::int64_t{at[3]});
  }
  require_held(path, array.shape, 1, bytes.size() - head);
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(head));
  array.bytes = std::move(bytes);
  return array;
}

/// The text behind 'key': in npy's dictionary, up to `end`.
std::string_view field(const std::string& path, std::string_view head, std::string_view key,
                       std::string_view open, char end) {
  const std::size_t at = head.find(fmt::format("'{}': {}", key, open));
  TRM_REQUIRE(at != std::string_view::npos, "{}: damaged: its head has no {}", path, key);
  const std::size_t begin = at + key.size() + 4 + open.size();
  const std::size_t stop = head.find(end, begin);
  TRM_REQUIRE(stop != std::string_view::npos, "{}: damaged: its head has no end of {}", path,
              key);
  return head.substr(begin, stop - begin);
}

template <typename T>
void widen(const std::uint8_t* from, std::size_t count, std::vector<std::int64_t>& to) {
  to.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    // NOLINTNEXTLINE(bugprone-signed-char-misuse): a number, not a character
    to[i] = static_cast<std::int64_t>(value);
  }
}

std::vector<std::int64_t> extents_of(const std::string& path, std::string_view text) {
  std::vector<std::int64_t> shape;
  for (std::size_t at = 0; at < text.size();) {
    std::int64_t extent = 0;
    std::size_t digits = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && digits < 12; ++at) {
      extent = 10 * extent + (text[at] - '0');
      ++digits;
    }
    TRM_REQUIRE(digits > 0, "{}: damaged: its shape is ({})", path, text);
    shape.push_back(extent);
    while (at < text.size() && (text[at] == ',' || text[at] == ' ')) ++at;
  }
  return shape;
}

IntegerArray read_npy(const std::string& path, std::vector<std::uint8_t>& bytes) {
  const bool wide = bytes[6] > 1;
  const std::size_t start = wide ? 12 : 10;
  TRM_REQUIRE(bytes.size() >= start, "{}: damaged: its head is cut short", path);
  std::size_t length = bytes[8] | std::size_t{bytes[9]} << 8U;
  if (wide) length |= std::size_t{bytes[10]} << 16U | std::size_t{bytes[11]} << 24U;
  TRM_REQUIRE(length <= bytes.size() - start, "{}: damaged: its head is cut short", path);
  const std::string head(bytes.begin() + static_cast<std::ptrdiff_t>(start),
                         bytes.begin() + static_cast<std::ptrdiff_t>(start + length));
  const std::string_view type = field(path, head, "descr", "'", '\'');
  TRM_REQUIRE(field(path, head, "fortran_order", "", ',') == "False",
              "{}: its elements stand in Fortran's order; save numpy.ascontiguousarray()",
              path);
  IntegerArray array;
  array.shape = extents_of(path, field(path, head, "shape", "(", ')'));
  const std::uint8_t* const data = bytes.data() + start + length;
  const std::size_t n = bytes.size() - start - length;
  const std::size_t width = type == "|u1" || type == "|i1" || type == "|b1" ? 1
                            : type == "<u2" || type == "<i2"                ? 2
                            : type == "<u4" || type == "<i4"                ? 4
                            : type == "<i8" || type == "<u8"                ? 8
                                                                            : 0;
  TRM_REQUIRE(width > 0, "{}: its elements are {}; images are uint8, and labels integers", path,
              type);
  const std::size_t count = require_held(path, array.shape, width, n);
  if (type == "|i1") widen<std::int8_t>(data, count, array.values);
  if (type == "<u2") widen<std::uint16_t>(data, count, array.values);
  if (type == "<i2") widen<std::int16_t>(data, count, array.values);
  if (type == "<u4") widen<std::uint32_t>(data, count, array.values);
  if (type == "<i4") widen<std::int32_t>(data, count, array.values);
  if (width == 8) widen<std::int64_t>(data, count, array.values);
  if (array.values.empty()) array.bytes.assign(data, data + n);
  return array;
}

}  // namespace

std::optional<IntegerArray> array_of(const std::string& path, std::vector<std::uint8_t> bytes) {
  constexpr std::string_view kNumpy = "\x93NUMPY";
  constexpr std::uint8_t kUnsignedByte = 8;
  if (bytes.size() >= 10 &&
      std::ranges::equal(kNumpy, std::span(bytes).first(kNumpy.size()), {},
                         [](char c) { return static_cast<std::uint8_t>(c); })) {
    return read_npy(path, bytes);
  }
  const bool idx = bytes.size() > 4 && bytes[0] == 0 && bytes[1] == 0 &&
                   bytes[2] == kUnsignedByte && bytes[3] >= 1 && bytes[3] <= kMostAxes;
  if (!idx) return std::nullopt;
  return read_idx(path, bytes);
}

}  // namespace trireme
