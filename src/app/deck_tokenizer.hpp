// SPDX-License-Identifier: Apache-2.0
// The deck's tokenizer beside that of the data: facts and text of data that hold none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trireme/data/token_source.hpp"
#include "trireme/deck/tokenizer.hpp"

namespace trireme {

/// The tokenizer in the data; null if they hold none. Throws Error if this program lacks it.
[[nodiscard]] std::unique_ptr<Tokenizer> tokenizer_of(const TokenSource& source);

/// tokenizer_of(), or else the deck's; null where neither can be used.
[[nodiscard]] std::unique_ptr<Tokenizer> tokenizer_for(const TokenSource& source,
                                                       const Deck& deck);

/// The tokenizer that the deck names, or that the first of its data files with one holds; null
/// if none can be used.
[[nodiscard]] std::unique_ptr<Tokenizer> find_tokenizer(const Deck& deck);

/// Whether both definitions give text the same ids. The end of document may differ.
[[nodiscard]] bool same_tokenizer(const std::string& kind_a, const std::string& definition_a,
                                  const std::string& kind_b, const std::string& definition_b);

/// What a run's checkpoints keep of its tokenizer; empty texts if there is none.
struct KeptTokenizer {
  std::string kind{};
  std::string definition{};
};
/// The first tokenizer that a file of `paths` holds, or else the deck's.
[[nodiscard]] KeptTokenizer tokenizer_to_keep(const Deck& deck,
                                              const std::vector<std::string>& paths);

/// Takes the tokenizer of a checkpoint that was loaded, if data and deck name none. Warns if
/// they name another one.
void adopt_tokenizer(KeptTokenizer& mine, const KeptTokenizer& loaded);

/// Fills in vocab_size and end_of_document from the deck's tokenizer, where the deck doesn't
/// say them and a file of `paths` holds no tokenizer. Warns of a tokenizer that cannot be used
/// and isn't needed. Throws Error if it is needed, or if the data hold another tokenizer. A
/// file that cannot be opened is passed over.
void fill_from_tokenizer(Deck& deck, const std::vector<std::string>& paths);

}  // namespace trireme
