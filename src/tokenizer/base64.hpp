// SPDX-License-Identifier: Apache-2.0
// Base64 with the alphabet of RFC 4648 and its padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trireme {

[[nodiscard]] std::string to_base64(std::string_view bytes);
/// The bytes that `text` stands for; none if it is no base64.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace trireme
