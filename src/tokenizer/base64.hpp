// SPDX-License-Identifier: Apache-2.0
// Base64 of RFC 4648, with padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trireme {

[[nodiscard]] std::string to_base64(std::string_view bytes);
/// Returns no bytes if `text` is no base64.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace trireme
