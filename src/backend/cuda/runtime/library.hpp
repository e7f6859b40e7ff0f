// SPDX-License-Identifier: Apache-2.0
// Loads a library when the program first needs that library. The program starts without it.
#pragma once

#include <string>

namespace trireme::cuda {

class Library {
 public:
  /// Searches the system's path, and `folder`, where the build found the library. Throws Error
  /// if the library is in neither. The library stays loaded.
  Library(const std::string& file, const std::string& folder);
  /// Throws Error if the library has no symbol of this name.
  [[nodiscard]] void* symbol(const char* name) const;

 private:
  std::string file_;
  void* handle_;
};

/// Finds a function of the library, with Function's type. The search runs once per function.
template <auto Function>
decltype(Function) find(const Library& library, const char* name) {
  static const auto found = reinterpret_cast<decltype(Function)>(library.symbol(name));
  return found;
}

}  // namespace trireme::cuda
