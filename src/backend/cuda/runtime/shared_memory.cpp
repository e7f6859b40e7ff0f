// SPDX-License-Identifier: Apache-2.0
// Remembers how much shared memory each kernel may use.
#include "shared_memory.hpp"

#include <map>
#include <mutex>
#include <utility>

namespace trireme::cuda {

bool asks_for_more(const void* kernel, int device, std::size_t bytes) {
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, std::size_t> allowed;
  const std::scoped_lock lock(mutex);
  std::size_t& most = allowed[{kernel, device}];
  if (bytes <= most) return false;
  most = bytes;
  return true;
}

}  // namespace trireme::cuda
