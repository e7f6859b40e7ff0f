// SPDX-License-Identifier: Apache-2.0
// Loads shared libraries with dlopen.
#include "library.hpp"

#include <dlfcn.h>

#include "trireme/core/error.hpp"

namespace trireme::cuda {

Library::Library(const std::string& file, const std::string& folder)
    : file_(file), handle_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  const char* const why = handle_ == nullptr ? dlerror() : nullptr;
  const std::string reason = why == nullptr ? "" : why;
  if (handle_ == nullptr && !folder.empty()) {
    handle_ = dlopen((folder + "/" + file).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  TRM_REQUIRE(handle_ != nullptr,
              "{} can't be loaded ({}); install it, or add its folder to LD_LIBRARY_PATH", file,
              reason);
}

void* Library::symbol(const char* name) const {
  void* const found = dlsym(handle_, name);
  TRM_REQUIRE(found != nullptr, "{} has no {}: it is another version than this program needs",
              file_, name);
  return found;
}

}  // namespace trireme::cuda
