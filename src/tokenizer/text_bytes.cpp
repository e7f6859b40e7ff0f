// SPDX-License-Identifier: Apache-2.0
// Bytes of text an id.
#include "trireme/tokenizer/text_bytes.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "trireme/core/error.hpp"

namespace trireme {

std::vector<std::uint16_t> text_bytes(const Tokenizer& tokenizer) {
  constexpr std::size_t kMost = std::numeric_limits<std::uint16_t>::max();
  std::vector<std::uint16_t> bytes(static_cast<std::size_t>(tokenizer.vocab_size()));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    const std::array<std::int32_t, 2> twice{id, id};
    std::size_t once = 0;
    std::size_t both = 0;
    // Ids of a vocabulary that no token has, such as characters above 255, have no text.
    if (failure_of([&] {
          once = tokenizer.decode(std::span(twice).first(1)).size();
          both = tokenizer.decode(twice).size();
        })) {
      continue;
    }
    bytes[i] = static_cast<std::uint16_t>(std::min(both - std::min(once, both), kMost));
  }
  return bytes;
}

}  // namespace trireme
