// SPDX-License-Identifier: Apache-2.0
// The one exception type of the program. Only `main` catches an Error: `main` prints one line
// and ends all ranks.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace trireme {

/// Says in one line what went wrong, where, and what to do. `everywhere` says that every rank
/// throws the same error at the same point, which makes one line from rank 0 enough.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message,
                 std::source_location where = std::source_location::current())
      : std::runtime_error(message), where_(where) {}

  [[nodiscard]] const std::source_location& where() const { return where_; }
  [[nodiscard]] bool everywhere() const { return everywhere_; }
  Error& set_everywhere() {
    everywhere_ = true;
    return *this;
  }

 private:
  std::source_location where_;
  bool everywhere_ = false;
};

namespace detail {
[[noreturn]] void throw_check(const char* expression, const std::string& message,
                              std::source_location where);
}

}  // namespace trireme

/// Checks an input or state that a user can cause: throws Error with the formatted message
/// alone.
#define TRM_REQUIRE(condition, ...)                                       \
  do {                                                                    \
    if (!(condition)) throw ::trireme::Error(::fmt::format(__VA_ARGS__)); \
  } while (false)

/// Checks an invariant of the program: throws Error with expression, message, file and line.
#define TRM_CHECK(condition, ...)                                            \
  do {                                                                       \
    if (!(condition))                                                        \
      ::trireme::detail::throw_check(#condition, ::fmt::format(__VA_ARGS__), \
                                     ::std::source_location::current());     \
  } while (false)
