// SPDX-License-Identifier: Apache-2.0
// Wire: the fields of a message in the format of protocol buffers
// (https://protobuf.dev/programming-guides/encoding), each checked against the message's size.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace trireme {

class Wire {
 public:
  /// Errors begin with `where`. `bytes` must outlive this.
  Wire(std::string_view bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  /// Goes to the next field. False at the end of the message.
  [[nodiscard]] bool next();
  /// The number of the current field.
  [[nodiscard]] std::uint32_t field() const { return field_; }

  // The value of the current field. Each throws Error if the field has another wire type.
  [[nodiscard]] std::uint64_t number() const;
  [[nodiscard]] bool boolean() const { return number() != 0; }
  [[nodiscard]] float real() const;
  [[nodiscard]] std::string_view text() const;

 private:
  enum class Type : std::uint8_t { varint = 0, fixed64 = 1, sized = 2, fixed32 = 5 };
  [[nodiscard]] std::uint64_t varint();
  void need(Type type) const;
  [[noreturn]] void refuse(std::string_view reason) const;

  std::string_view bytes_;
  std::string where_;
  std::size_t at_ = 0;
  std::uint32_t field_ = 0;
  Type type_ = Type::varint;
  std::uint64_t number_ = 0;  // also the bits of a fixed-size value
  std::string_view text_;
};

}  // namespace trireme
