// SPDX-License-Identifier: Apache-2.0
// What every call of the HDF5 library goes through: the lock, the check of its return code, and
// owners of its identifiers.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <hdf5.h>

#include "trireme/core/dtype.hpp"
#include "trireme/core/error.hpp"

namespace trireme::h5 {

/// Locks the library for as long as the result lives. Calls may be nested.
[[nodiscard]] std::unique_lock<std::recursive_mutex> enter();

/// Throws Error "WHERE: cannot DOING: innermost message of HDF5". Where a call of the system
/// failed, the message is the system's, and the Error has its errno.
[[noreturn]] void fail(std::string_view where, std::string_view doing);

/// Checks a return code. All return codes pass through here.
template <class Code>
Code checked(Code code, std::string_view where, std::string_view doing) {
  if (code < 0) fail(where, doing);
  return code;
}

/// An identifier that lives for a scope, within the lock.
class Id {
 public:
  using Close = herr_t (*)(hid_t);
  Id(hid_t id, Close close) : id_(id), close_(close) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  ~Id() {
    if (id_ >= 0) close_(id_);
  }
  // NOLINTNEXTLINE(google-explicit-constructor): stands for the identifier in every call
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

struct Handle {
  Handle(hid_t number, Id::Close closer) : id(number), close(closer) {}
  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  hid_t id;
  Id::Close close;
};

/// A new property list of a class, checked.
[[nodiscard]] Id properties(hid_t of_class);

/// The type of elements in memory and, little-endian, in files.
[[nodiscard]] hid_t memory_type(DType dtype);
[[nodiscard]] hid_t file_type(DType dtype);
/// The DType of a file's type, in any byte order. Throws Error if no DType fits.
[[nodiscard]] DType dtype_of(hid_t type, std::string_view where);

}  // namespace trireme::h5
