// SPDX-License-Identifier: Apache-2.0
// Best fit among freed blocks.
#include "trireme/device/block_pool.hpp"

#include <algorithm>

namespace trireme {

namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPage = 4096;

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

void* BlockPool::allocate(std::size_t bytes) {
  // Whole pages where it matters, not whole huge pages: that would double a block of 2.1 MiB.
  const std::size_t wanted = bytes >= kHugePage
                                 ? round_up(bytes, kPage)
                                 : round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  void* block = reuse(wanted);
  if (block == nullptr) {
    block = fresh_(wanted);
    live_.emplace(block, wanted);
    use_.reserved += wanted;
  }
  use_.in_use += live_.at(block);
  use_.peak = std::max(use_.peak, use_.in_use);
  return block;
}

void BlockPool::release(void* block) noexcept {
  const auto it = live_.find(block);
  use_.in_use -= it->second;
  kept_.emplace(it->second, block);
  live_.erase(it);
}

void BlockPool::drop_kept(const std::function<void(void*)>& give_back) {
  for (const auto& [size, block] : kept_) {
    give_back(block);
    use_.reserved -= size;
  }
  kept_.clear();
}

/// The smallest kept block that wastes at most a quarter.
void* BlockPool::reuse(std::size_t wanted) {
  const auto it = kept_.lower_bound(wanted);
  if (it == kept_.end() || it->first > wanted + wanted / 4) return nullptr;
  void* block = it->second;
  live_.emplace(block, it->first);
  kept_.erase(it);
  return block;
}

}  // namespace trireme
