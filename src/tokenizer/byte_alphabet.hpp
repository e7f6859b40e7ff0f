// SPDX-License-Identifier: Apache-2.0
// The visible characters that stand for bytes in byte-level vocabularies, as GPT-2 chose them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trireme {

/// The UTF-8 of the character that stands for `byte`.
[[nodiscard]] std::string_view byte_character(unsigned char byte);
/// The byte that the code point stands for, if it stands for one.
[[nodiscard]] std::optional<char> byte_of_character(char32_t c);

}  // namespace trireme
