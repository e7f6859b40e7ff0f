// SPDX-License-Identifier: Apache-2.0
// `trireme tokenize`: text to token ids and back.
#pragma once

#include <iosfwd>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

struct TokenizeOptions {
  TokenizerSource source{};
  bool decode = false;    ///< ids to text
  bool pieces = false;    ///< a line for each token: its id and its text
  bool count = false;     ///< bytes and tokens alone
  bool separate = false;  ///< texts that each end with a NUL, or lines of ids
  bool surround = false;  ///< with the tokens that the tokenizer puts around a document
};

/// Reads `in` to its end. Text of any size passes in blocks. Throws Error on an id that is no
/// number or not in the vocabulary, and if `out` takes no more.
void tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out);

}  // namespace trireme
