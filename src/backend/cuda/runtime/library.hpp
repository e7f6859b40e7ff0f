// SPDX-License-Identifier: Apache-2.0
// A library that is looked for when it is first needed, so that the program starts where it
// isn't installed.
#pragma once

#include <string>

namespace trireme::cuda {

class Library {
 public:
  /// By the system's search path, then in `folder`, where the build found it. Throws Error if
  /// it is in neither. Stays loaded.
  Library(const std::string& file, const std::string& folder);
  /// Throws Error if there is none of this name.
  [[nodiscard]] void* symbol(const char* name) const;

 private:
  std::string file_;
  void* handle_;
};

/// The library's function of Function's type, looked for once.
template <auto Function>
decltype(Function) find(const Library& library, const char* name) {
  static const auto found = reinterpret_cast<decltype(Function)>(library.symbol(name));
  return found;
}

}  // namespace trireme::cuda
