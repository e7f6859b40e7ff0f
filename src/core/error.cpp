// SPDX-License-Identifier: Apache-2.0
// Throws for TRM_CHECK, out of line.
#include "trireme/core/error.hpp"

#include <string_view>

namespace trireme::detail {

void throw_check(const char* expression, const std::string& message,
                 std::source_location where) {
  std::string_view file = where.file_name();
  if (const auto src = file.rfind("src/"); src != std::string_view::npos)
    file.remove_prefix(src);
  throw Error(fmt::format("{} [{} failed at {}:{}]", message, expression, file, where.line()),
              where);
}

}  // namespace trireme::detail
