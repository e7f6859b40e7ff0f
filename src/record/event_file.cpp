// SPDX-License-Identifier: Apache-2.0
// Protobuf by hand. A field is a key (number and kind) and a value: a varint, fixed bytes, or a
// length and as many bytes.
#include "event_file.hpp"

#include <array>
#include <bit>

namespace trireme::event_file {

namespace {

constexpr std::uint32_t kReversedPolynomial = 0x82F63B78;

consteval std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t sum = i;
    for (int bit = 0; bit < 8; ++bit) {
      sum = (sum >> 1U) ^ ((sum & 1U) != 0 ? kReversedPolynomial : 0);
    }
    table[i] = sum;
  }
  return table;
}

/// Appends a value in little-endian order, as both formats want on any machine.
template <class Unsigned>
void put(std::string& out, Unsigned value) {
  for (std::size_t i = 0; i < sizeof value; ++i) {
    out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  }
}

/// TFRecord's mask: rotated and shifted, since the bytes may contain checksums of their own.
std::uint32_t masked(std::uint32_t sum) { return std::rotr(sum, 15) + 0xA282EAD8U; }

/// A protobuf message that grows field by field.
class Message {
 public:
  Message& integer(unsigned field, std::int64_t value) {
    if (value == 0) return *this;  // the value of an absent field
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real64(unsigned field, double value) {
    key(field, 1);
    put(bytes_, std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real32(unsigned field, double value) {
    key(field, 5);
    put(bytes_, std::bit_cast<std::uint32_t>(static_cast<float>(value)));
    return *this;
  }
  Message& bytes(unsigned field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(unsigned field, const Message& value) { return bytes(field, value.bytes_); }
  [[nodiscard]] const std::string& str() const { return bytes_; }

 private:
  void key(unsigned field, unsigned kind) { varint(field << 3U | kind); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) bytes_ += static_cast<char>((value & 0x7FU) | 0x80U);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// Numbers of fields and values of enumerations in TensorBoard's .proto files.
namespace in_event {
constexpr unsigned kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace in_summary {
constexpr unsigned kValue = 1;
}
namespace in_value {
constexpr unsigned kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9;
}
namespace in_metadata {
constexpr unsigned kPluginData = 1, kDataClass = 4;
constexpr std::int64_t kTensorClass = 2;
}  // namespace in_metadata
namespace in_plugin_data {
constexpr unsigned kPluginName = 1;
}
namespace in_tensor {
constexpr unsigned kType = 1, kShape = 2, kStrings = 8;
constexpr std::int64_t kString = 7;
}  // namespace in_tensor
namespace in_shape {
constexpr unsigned kDimension = 2, kSize = 1;
}
namespace in_session_log {
constexpr unsigned kStatus = 1;
constexpr std::int64_t kStart = 1;
}  // namespace in_session_log

Message event(double wall_time, std::int64_t step) {
  return Message().real64(in_event::kWallTime, wall_time).integer(in_event::kStep, step);
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = crc_table();
  std::uint32_t sum = ~0U;
  for (const char c : bytes) {
    sum = (sum >> 8U) ^ kTable[(sum ^ static_cast<unsigned char>(c)) & 0xFFU];
  }
  return ~sum;
}

std::string record(std::string_view data) {
  std::string out;
  put(out, static_cast<std::uint64_t>(data.size()));
  put(out, masked(crc32c(out)));
  out += data;
  put(out, masked(crc32c(data)));
  return out;
}

std::string version(double wall_time) {
  return event(wall_time, 0).bytes(in_event::kFileVersion, "brain.Event:2").str();
}

std::string session_start(double wall_time, std::int64_t step) {
  const Message log = Message().integer(in_session_log::kStatus, in_session_log::kStart);
  return event(wall_time, step).message(in_event::kSessionLog, log).str();
}

std::string scalars(double wall_time, std::int64_t step, const std::vector<Scalar>& values) {
  Message summary;
  for (const auto& [tag, value] : values) {
    summary.message(in_summary::kValue,
                    Message().bytes(in_value::kTag, tag).real32(in_value::kSimpleValue, value));
  }
  return event(wall_time, step).message(in_event::kSummary, summary).str();
}

std::string text(double wall_time, std::int64_t step, std::string_view tag,
                 std::string_view markdown) {
  const Message plugin = Message().bytes(in_plugin_data::kPluginName, "text");
  const Message metadata = Message()
                               .message(in_metadata::kPluginData, plugin)
                               .integer(in_metadata::kDataClass, in_metadata::kTensorClass);
  const Message one = Message().integer(in_shape::kSize, 1);
  const Message tensor =
      Message()
          .integer(in_tensor::kType, in_tensor::kString)
          .message(in_tensor::kShape, Message().message(in_shape::kDimension, one))
          .bytes(in_tensor::kStrings, markdown);
  const Message value = Message()
                            .bytes(in_value::kTag, tag)
                            .message(in_value::kTensor, tensor)
                            .message(in_value::kMetadata, metadata);
  const Message summary = Message().message(in_summary::kValue, value);
  return event(wall_time, step).message(in_event::kSummary, summary).str();
}

}  // namespace trireme::event_file
