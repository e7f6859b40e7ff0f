// SPDX-License-Identifier: Apache-2.0
// How rows are sharded over ranks.
#include "trireme/model/parameter.hpp"

#include <algorithm>

namespace trireme {

RowRange shard_rows(std::int64_t total, int part, int parts) {
  const std::int64_t begin = total * part / parts;
  return {begin, total * (part + 1) / parts - begin};
}

RowRange shard_vocabulary(std::int64_t vocab_size, int part, int parts) {
  constexpr std::int64_t kBlock = 8;  // rows: matrix units are fast on multiples
  const std::int64_t blocks = (vocab_size + kBlock - 1) / kBlock;
  if (blocks < parts) return shard_rows(vocab_size, part, parts);
  const RowRange c = shard_rows(blocks, part, parts);
  const std::int64_t begin = c.offset * kBlock;
  return {begin, std::min(vocab_size, begin + c.extent * kBlock) - begin};
}

}  // namespace trireme
