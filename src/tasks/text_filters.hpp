// SPDX-License-Identifier: Apache-2.0
// What a template may do to a field's text. Texts are UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::tasks {

/// Characters of a text of unknown origin that a message shows.
inline constexpr std::size_t kShown = 40;

/// Whether a code point is white space, as Python's str.isspace() says.
[[nodiscard]] bool is_space(char32_t c);
/// Bytes of the white space at the end of a text.
[[nodiscard]] std::size_t trailing_space(std::string_view text);
/// Without white space at both ends.
[[nodiscard]] std::string_view stripped(std::string_view text);
/// Characters, not bytes.
[[nodiscard]] std::size_t characters(std::string_view text);
/// In small letters, one character for one.
[[nodiscard]] std::string lowered(std::string_view text);

using Filter = std::string (*)(std::string_view text);
/// The filter of this name, or null.
[[nodiscard]] Filter find_filter(std::string_view name);
[[nodiscard]] std::vector<std::string> filter_names();

}  // namespace trireme::tasks
