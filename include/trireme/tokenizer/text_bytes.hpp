// SPDX-License-Identifier: Apache-2.0
// How much text each token id stands for, by which a loss in nats per token becomes bits per
// byte of text. Bits per byte compare models with different tokenizers.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// The bytes that each id adds to decoded text behind another token; 0 for special tokens.
/// Exact where tokens stand for bytes. Where a tokenizer's decoder joins bytes to characters or
/// cleans up spaces, the bytes of a text may differ by a little.
[[nodiscard]] std::vector<std::uint16_t> text_bytes(const Tokenizer& tokenizer);

}  // namespace trireme
