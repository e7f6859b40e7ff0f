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

}  // namespace trireme::cuda
