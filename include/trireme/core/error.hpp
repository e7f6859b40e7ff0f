// SPDX-License-Identifier: Apache-2.0
// The one exception type of the program. Only `main` catches an Error: `main` prints one line
// and ends all ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace trireme {

/// What the program decides by when a call of the system fails.
enum class ErrorKind : std::uint8_t {
  other,        ///< the input, the data or the program is at fault; also a file that is missing
  disk_full,    ///< no space is left, or a quota is used up
  unavailable,  ///< the data may be whole, but can't be reached now: permission, a failing disk
};

/// The kind of an errno; 0 stands for no failed call.
[[nodiscard]] ErrorKind kind_of(int system_error);

/// Says in one line what went wrong, where, and what to do. `system_error` is the errno of the
/// call that failed, 0 if none did. `everywhere` says that every rank throws the same error at
/// the same point, which makes one line from rank 0 enough.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message,
                 std::source_location where = std::source_location::current())
      : std::runtime_error(message), where_(where) {}
  Error(const std::string& message, int system_error,
        std::source_location where = std::source_location::current())
      : std::runtime_error(message), where_(where), system_error_(system_error) {}

  /// This error in other words, with its errno and place, but not `everywhere`.
  [[nodiscard]] Error saying(const std::string& message) const {
    return {message, system_error_, where_};
  }

  [[nodiscard]] const std::source_location& where() const { return where_; }
  [[nodiscard]] int system_error() const { return system_error_; }
  [[nodiscard]] ErrorKind kind() const { return kind_of(system_error_); }
  [[nodiscard]] bool everywhere() const { return everywhere_; }
  Error& set_everywhere() {
    everywhere_ = true;
    return *this;
  }

 private:
  std::source_location where_;
  int system_error_ = 0;
  bool everywhere_ = false;
};

/// The error that f throws, or nothing. Any other exception becomes an Error with its message.
[[nodiscard]] std::optional<Error> failure_of(const std::function<void()>& f);

namespace detail {
[[noreturn]] void throw_system(int error, const std::string& message,
                               std::source_location where);
[[noreturn]] void throw_check(const char* expression, const std::string& message,
                              std::source_location where);
}  // namespace detail

}  // namespace trireme

/// Checks an input or state that a user can cause: throws Error with the formatted message
/// alone.
#define TRM_REQUIRE(condition, ...)                                       \
  do {                                                                    \
    if (!(condition)) throw ::trireme::Error(::fmt::format(__VA_ARGS__)); \
  } while (false)

/// Checks a call of the system. Throws Error "MESSAGE: the system's reason" with the errno
/// `error`, or the message alone if `error` is 0.
#define TRM_REQUIRE_SYSTEM(condition, error, ...)                             \
  do {                                                                        \
    if (!(condition)) {                                                       \
      const int trm_error_ = (error); /* before the message is made */        \
      ::trireme::detail::throw_system(trm_error_, ::fmt::format(__VA_ARGS__), \
                                      ::std::source_location::current());     \
    }                                                                         \
  } while (false)

/// Checks an invariant of the program: throws Error with expression, message, file and line.
#define TRM_CHECK(condition, ...)                                            \
  do {                                                                       \
    if (!(condition))                                                        \
      ::trireme::detail::throw_check(#condition, ::fmt::format(__VA_ARGS__), \
                                     ::std::source_location::current());     \
  } while (false)
