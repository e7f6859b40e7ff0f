// SPDX-License-Identifier: Apache-2.0
// Wire: the fields of a message in the format of protocol buffers.
#include "wire.hpp"

#include <bit>

#include "trireme/core/error.hpp"

namespace trireme {

void Wire::refuse(std::string_view reason) const {
  throw Error(fmt::format("{}: field {} at byte {} {}", where_, field_, at_, reason));
}

std::uint64_t Wire::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at_ == bytes_.size()) refuse("ends within a number");
    const auto byte = static_cast<unsigned char>(bytes_[at_++]);
    value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
    if (byte < 0x80) return value;
  }
  refuse("has a number of more than ten bytes");
}

bool Wire::next() {
  if (at_ == bytes_.size()) return false;
  const std::uint64_t tag = varint();
  field_ = static_cast<std::uint32_t>(tag >> 3);
  if (field_ == 0 || tag >> 32 != 0) refuse("has an impossible number");
  type_ = static_cast<Type>(tag & 7);
  const auto take = [&](std::uint64_t size) {
    if (size > bytes_.size() - at_) {
      refuse(fmt::format("has {} bytes, but {} are left", size, bytes_.size() - at_));
    }
    text_ = bytes_.substr(at_, static_cast<std::size_t>(size));
    at_ += static_cast<std::size_t>(size);
  };
  const auto take_fixed = [&](std::uint64_t size) {
    take(size);
    number_ = 0;
    for (std::size_t i = text_.size(); i-- > 0;) {
      number_ = number_ << 8 | static_cast<unsigned char>(text_[i]);
    }
  };
  switch (type_) {
    case Type::varint:
      number_ = varint();
      return true;
    case Type::fixed64:
      take_fixed(8);
      return true;
    case Type::sized:
      take(varint());
      return true;
    case Type::fixed32:
      take_fixed(4);
      return true;
  }
  refuse(fmt::format("has the unknown wire type {}", tag & 7));
}

void Wire::need(Type type) const {
  if (type_ != type) {
    refuse(fmt::format("has wire type {} instead of {}", static_cast<int>(type_),
                       static_cast<int>(type)));
  }
}

std::uint64_t Wire::number() const {
  need(Type::varint);
  return number_;
}

float Wire::real() const {
  need(Type::fixed32);
  return std::bit_cast<float>(static_cast<std::uint32_t>(number_));
}

std::string_view Wire::text() const {
  need(Type::sized);
  return text_;
}

}  // namespace trireme
