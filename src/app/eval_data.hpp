// SPDX-License-Identifier: Apache-2.0
// What `trireme eval --data` names: tokens, or text that becomes tokens.
#pragma once

#include <memory>

#include "trireme/data/token_source.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

#include "eval.hpp"

namespace trireme {

/// Opens data that a model with this tokenizer can read. Names that end in .h5, .bin or .idx,
/// and PREFIX of PREFIX.bin, are tokens, and others are text. `tokenizer` may be null for
/// tokens. Throws Error if the data hold the tokens of another tokenizer.
[[nodiscard]] std::unique_ptr<TokenSource> open_eval_data(const std::string& path,
                                                          const EvalOptions& options,
                                                          const Deck& deck,
                                                          const Tokenizer* tokenizer,
                                                          int threads);

}  // namespace trireme
