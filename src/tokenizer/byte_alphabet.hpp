// SPDX-License-Identifier: Apache-2.0
// GPT-2's alphabet, in which each byte has a printable character. Files write the tokens of
// byte-level encodings in it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trireme {

/// Appends the characters of some bytes.
void append_as_characters(std::string& text, std::string_view bytes);
/// The bytes of some characters, in valid UTF-8; nothing if a character stands for no byte.
[[nodiscard]] std::optional<std::string> bytes_of_characters(std::string_view text);

}  // namespace trireme
