// SPDX-License-Identifier: Apache-2.0
// Finds out from a file's first bytes what the file holds, whatever its name says.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace trireme {

/// Bytes of a UTF-8 byte order mark at the beginning of `text`: 3 or 0.
[[nodiscard]] std::int64_t byte_order_mark(std::string_view text);

/// What a file is that is not UTF-8 text, and what to do: "it holds gzip-compressed data;
/// decompress it first". Empty if `head`, the first bytes of the file, can be text.
[[nodiscard]] std::string why_not_text(std::string_view head);

/// How the JSON of a file is laid out.
enum class JsonLayout : std::uint8_t {
  none,     ///< the file does not begin as JSON does
  lines,    ///< the first line that is not blank is an object
  array,    ///< the file begins as an array of objects
  one_big,  ///< the file begins as an object that its first line does not end
};
/// Gives the first `n` bytes of a text, or all.
using HeadReader = std::function<std::string(std::size_t n)>;
[[nodiscard]] JsonLayout json_layout(const HeadReader& head);

/// The command that turns a file of this layout into JSON lines.
[[nodiscard]] std::string_view to_json_lines(JsonLayout layout);

/// What is wrong with a line that simdjson does not accept: NaN, several objects, an object or
/// array that goes on in the next line. Empty if the reason is another one.
[[nodiscard]] std::string json_trouble(std::string_view line);

}  // namespace trireme
