// SPDX-License-Identifier: Apache-2.0
// Hashes of documents.
#include "document_set.hpp"

#include <xxhash.h>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

TokenHash hash_from(XXH128_hash_t hash) { return {hash.low64, hash.high64}; }

}  // namespace

TokenHash hash_of(std::span<const std::int32_t> tokens) {
  return hash_from(XXH3_128bits(tokens.data(), tokens.size_bytes()));
}

struct TokenHasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() = default;
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

TokenHasher::TokenHasher() : state_(std::make_unique<State>()) { reset(); }

TokenHasher::~TokenHasher() = default;

void TokenHasher::reset() {
  TRM_CHECK(state_->xxh != nullptr && XXH3_128bits_reset(state_->xxh) == XXH_OK, "no hash");
}

void TokenHasher::add(std::span<const std::int32_t> tokens) {
  XXH3_128bits_update(state_->xxh, tokens.data(), tokens.size_bytes());
}

TokenHash TokenHasher::finish() const { return hash_from(XXH3_128bits_digest(state_->xxh)); }

TokenHash& DocumentSet::slot_of(std::vector<TokenHash>& slots, TokenHash hash) {
  const std::size_t last = slots.size() - 1;
  std::size_t at = hash.low & last;
  while (slots[at] != TokenHash{} && slots[at] != hash) at = (at + 1) & last;
  return slots[at];
}

bool DocumentSet::add(TokenHash hash) {
  constexpr std::size_t kFirst = 1 << 10;
  if (hash == TokenHash{}) hash.high = 1;  // zeros mark a free slot
  if (4 * (used_ + 1) > 3 * slots_.size()) {
    std::vector<TokenHash> larger(std::max(kFirst, 2 * slots_.size()));
    for (const TokenHash& old : slots_) {
      if (old != TokenHash{}) slot_of(larger, old) = old;
    }
    slots_ = std::move(larger);
  }
  TokenHash& slot = slot_of(slots_, hash);
  if (slot == hash) return false;
  slot = hash;
  ++used_;
  return true;
}

}  // namespace trireme
