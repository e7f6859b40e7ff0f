// SPDX-License-Identifier: Apache-2.0
// Broadcasts sequences of any lengths, and checks their ids.
#include "share.hpp"

#include <numeric>

namespace trireme {

std::vector<TokenIds> share_sequences(std::span<const TokenIds> sequences,
                                      Communicator& world) {
  const bool mine = world.rank() == 0;
  const auto own = mine ? sequences : std::span<const TokenIds>();
  const std::int64_t count =
      world.reduce_count(static_cast<std::int64_t>(own.size()), Reduction::sum);
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < own.size(); ++i) {
    lengths[i] = static_cast<std::int64_t>(own[i].size());
  }
  if (count == 0) return {};
  world.broadcast(View(lengths.data(), DType::i64, Shape{count}), 0);
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  TokenIds all;
  all.reserve(static_cast<std::size_t>(total));
  for (const TokenIds& s : own) all.insert(all.end(), s.begin(), s.end());
  all.resize(static_cast<std::size_t>(total));
  if (total > 0) world.broadcast(View(all.data(), DType::i32, Shape{total}), 0);
  std::vector<TokenIds> shared;
  auto at = all.begin();
  for (const std::int64_t length : lengths) {
    shared.emplace_back(at, at + length);
    at += length;
  }
  return shared;
}

void require_ids(std::span<const std::int32_t> ids, std::int64_t vocab_size,
                 const std::string& what) {
  for (const std::int32_t id : ids) {
    TRM_REQUIRE(id >= 0 && id < vocab_size,
                "{} holds token {}, but the model's vocabulary has ids 0 to {}", what, id,
                vocab_size - 1);
  }
}

}  // namespace trireme
