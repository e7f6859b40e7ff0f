// SPDX-License-Identifier: Apache-2.0
// Chunks in turn: filled by the device, emptied by the host.
#include "ring.hpp"

#include <algorithm>
#include <cstring>

namespace trireme::checkpoint {

namespace {

constexpr std::size_t kChunks = 4;
constexpr std::size_t kLargestChunk = std::size_t{16} << 20U;

/// Bytes of each chunk: all chunks are of one size, in whole cache lines.
std::size_t chunk_bytes(std::size_t copy) {
  constexpr std::size_t kLine = 64;
  return std::min(kLargestChunk, (copy + kChunks * kLine - 1) / (kChunks * kLine) * kLine);
}

}  // namespace

Ring::Ring(const StateHome& home, std::byte* to, std::size_t bytes)
    : home_(home), to_(to), size_(bytes), chunk_(chunk_bytes(bytes)) {
  for (std::size_t i = 0; i < kChunks; ++i) chunks_.emplace_back(home.device, chunk_);
}

void Ring::copy(std::size_t at, const ConstView& from) {
  TRM_CHECK(at + from.bytes() <= size_ && at / chunk_ >= open_, "a copy to {} of {}", at,
            size_);
  for (std::size_t done = 0; done < from.bytes();) {
    const std::size_t number = (at + done) / chunk_;
    const std::size_t in_chunk = (at + done) % chunk_;
    while (open_ < number) seal();
    const std::size_t bytes = std::min(chunk_ - in_chunk, from.bytes() - done);
    home_.device.copy_to_host(chunk(number) + in_chunk,
                              static_cast<const std::byte*>(from.raw()) + done, bytes,
                              home_.stream);
    done += bytes;
  }
}

void Ring::wait() {
  seal();
  while (!filled_.empty()) empty_oldest();
  open_ = 0;
}

/// Closes the chunk that is being filled, and makes the next chunk free.
void Ring::seal() {
  filled_.push_back({open_++, home_.stream.record()});
  if (filled_.size() == chunks_.size()) empty_oldest();
}

void Ring::empty_oldest() {
  const Filled& oldest = filled_.front();
  oldest.event->synchronize();
  const std::size_t at = oldest.number * chunk_;
  if (at < size_) std::memcpy(to_ + at, chunk(oldest.number), std::min(chunk_, size_ - at));
  filled_.pop_front();
}

}  // namespace trireme::checkpoint

namespace trireme {

std::size_t pinned_ring_bytes(std::size_t copy) {
  return checkpoint::kChunks * checkpoint::chunk_bytes(copy);
}

}  // namespace trireme
