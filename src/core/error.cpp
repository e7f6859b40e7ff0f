// SPDX-License-Identifier: Apache-2.0
// Kinds of errors, and the cold paths of the macros.
#include "trireme/core/error.hpp"

#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>
#include <system_error>

namespace trireme {

ErrorKind kind_of(int system_error) {
  switch (system_error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:  // the limit of file sizes
      return ErrorKind::disk_full;
    case EACCES:
    case EPERM:
    case EMFILE:
    case ENFILE:
    case EIO:
    case ENODEV:
    case ENXIO:
    case ESTALE:
    case EREMOTEIO:
    case ENOMEM:
    case ETIMEDOUT:
    case ENOTCONN:
    case ESHUTDOWN:
    case EHOSTDOWN:
    case EINTR:
    case EAGAIN:
      return ErrorKind::unavailable;
    default:
      return ErrorKind::other;
  }
}

std::optional<Error> failure_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  } catch (const std::system_error& e) {
    return Error(e.what(), e.code().value());
  } catch (const std::bad_alloc& e) {
    return Error(e.what(), ENOMEM);
  } catch (const std::exception& e) {
    return Error(*e.what() != '\0' ? e.what() : "unknown error");
  }
  return std::nullopt;
}

namespace detail {

void throw_system(int error, const std::string& message, std::source_location where) {
  if (error == 0) throw Error(message, where);
  throw Error(fmt::format("{}: {}", message, std::strerror(error)), error, where);
}

void throw_check(const char* expression, const std::string& message,
                 std::source_location where) {
  std::string_view file = where.file_name();
  if (const auto src = file.rfind("src/"); src != std::string_view::npos) {
    file.remove_prefix(src);
  }
  throw Error(fmt::format("{} [{} failed at {}:{}]", message, expression, file, where.line()),
              where);
}

}  // namespace detail

}  // namespace trireme
