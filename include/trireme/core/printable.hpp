// SPDX-License-Identifier: Apache-2.0
// Foreign text in messages. Names, values and lines of files can hold bytes that move a
// terminal's cursor, change its settings or forge lines of a log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trireme {

/// The text in one line of characters that only print. Control characters, bytes that are not
/// UTF-8, and characters that reorder a line are written as escapes: \n, \x1b, \u202e.
[[nodiscard]] std::string printable(std::string_view text);

/// Like printable(), but an indented line stays a line: "\n" followed by two blanks.
[[nodiscard]] std::string printable_lines(std::string_view text);

/// At most the first `most` bytes of the text as printable(), with "..." where more follows. No
/// character is divided.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t most);

}  // namespace trireme
