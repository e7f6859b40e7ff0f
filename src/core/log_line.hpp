// SPDX-License-Identifier: Apache-2.0
// One line of the log, as text or as a JSON object.
#pragma once

#include <string>
#include <string_view>

namespace trireme::log {

struct Line {
  enum class Level : unsigned char { info, warning, error, note };
  Level level = Level::info;
  std::string text;
  std::string fields;  ///< members of a JSON object; empty: none
  double time = 0;     ///< seconds since 1970
};

/// {"time": "2026-11-29T08:00:00.125Z", "rank": 0, "host": "node1", "level": "info", "text":
/// "…"}, then the line's fields. One line; what is no UTF-8 becomes U+FFFD.
[[nodiscard]] std::string json_of(const Line& line, int rank, std::string_view host);

}  // namespace trireme::log
