// SPDX-License-Identifier: Apache-2.0
// The fields of Metaspace, which is a pre-tokenizer and a decoder. There spaces are a visible
// character, and one more may stand in front of a text.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace trireme {

struct MetaspaceFields {
  enum class Prepend : std::uint8_t { always, first, never };

  std::string replacement;  ///< one character
  Prepend prepend = Prepend::always;
  bool split = true;

  /// Throws Error that begins with `where`.
  MetaspaceFields(const nlohmann::json& spec, const std::string& where);
};

}  // namespace trireme
