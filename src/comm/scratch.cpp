// SPDX-License-Identifier: Apache-2.0
// Which free array serves a collective.
#include "scratch.hpp"

#include <algorithm>

namespace trireme {

ScratchPool::Array ScratchPool::take(std::size_t bytes) {
  const auto shorter = [](const Array& a, const Array& b) { return a.bytes < b.bytes; };
  std::sort(free_.begin(), free_.end(), shorter);
  auto chosen = std::find_if(free_.begin(), free_.end(),
                             [&](const Array& a) { return a.bytes >= bytes; });
  const bool fits = chosen != free_.end();
  Array array;
  if (fits || !free_.empty()) {
    if (!fits) --chosen;
    array = std::move(*chosen);
    free_.erase(chosen);
  }
  if (!fits) {
    array = {};  // first, so that the old and the new array never exist together
    array = {std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
  }
  return array;
}

}  // namespace trireme
