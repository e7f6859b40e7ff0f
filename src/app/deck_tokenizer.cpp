// SPDX-License-Identifier: Apache-2.0
// Opens the deck's tokenizer, and holds it against the data.
#include "deck_tokenizer.hpp"

#include <utility>

#include <nlohmann/json.hpp>

#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"

namespace trireme {

namespace {

/// What the data say without the deck.
struct DataFacts {
  bool open = false;     ///< a file says no tokenizer and leaves the facts to the deck
  bool unknown = false;  ///< such a file doesn't say the size of the vocabulary
};

/// Holds the data against the deck's tokenizer, if it can be used.
DataFacts facts_of(const Deck& deck, const std::vector<std::string>& paths,
                   const Tokenizer* tokenizer) {
  DataFacts facts;
  for (const std::string& path : paths) {
    std::unique_ptr<TokenSource> source;
    // What is wrong with a file, its first reader says under the name of the key.
    if (failure_of([&] { source = open_tokens(path, DocumentCheck::none); })) continue;
    if (source->tokenizer_kind().empty()) {
      facts.open = true;
      facts.unknown = facts.unknown || source->vocab_size() == 0;
    }
    if (tokenizer == nullptr || source->tokenizer_kind().empty()) continue;
    TRM_REQUIRE(
        same_tokenizer(source->tokenizer_kind(), source->tokenizer_definition(),
                       tokenizer->kind(), tokenizer->definition()),
        "{} holds the tokenizer \"{}\" of {} ids, but the deck names another one, {}, which is "
        "\"{}\" of {} ids. To train on these data, leave out vocab_file and tokenizer_type "
        "(--set vocab_file=null --set tokenizer_type=null); to use the deck's tokenizer, "
        "prepare the "
        "data with --tokenizer",
        path, source->tokenizer_kind(), source->vocab_size(), tokenizer_named_by(deck),
        tokenizer->kind(), tokenizer->vocab_size());
  }
  return facts;
}

/// Whether the definition of a tokenizer.json is that of single bytes, as `convert` writes it.
bool has_single_bytes(const std::string& definition) {
  const auto found = nlohmann::json::parse(definition, nullptr, false);
  if (!found.is_object() || !found.contains("tokenizer")) return false;
  auto bytes = nlohmann::json::parse(byte_tokenizer_json(kPublishedEnd));
  for (const char* unused : {"truncation", "padding"}) bytes.erase(unused);
  return found["tokenizer"] == bytes;
}

/// The tokenizer cannot be used: is that an error?
void without_tokenizer(const Deck& deck, const DataFacts& facts, const std::string& reason) {
  TRM_REQUIRE(!facts.unknown || deck.model.vocab_size > 0,
              "{}: {}; the data don't say how large the vocabulary is, so this tokenizer is "
              "needed: mend the path, or set vocab_size and end_of_document in the deck",
              tokenizer_named_by(deck), reason);
  log::warn(
      "{}: {}; data and deck say all that is needed, so the run goes on without this tokenizer",
      tokenizer_named_by(deck), reason);
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const TokenSource& source) {
  if (source.tokenizer_kind().empty()) return nullptr;
  return make_tokenizer(source.tokenizer_kind(), source.tokenizer_definition());
}

std::unique_ptr<Tokenizer> tokenizer_for(const TokenSource& source, const Deck& deck) {
  std::unique_ptr<Tokenizer> tokenizer;
  const auto failure = failure_of([&] {
    tokenizer = tokenizer_of(source);
    if (tokenizer == nullptr) tokenizer = open_deck_tokenizer(deck);
  });
  return failure ? nullptr : std::move(tokenizer);
}

std::unique_ptr<Tokenizer> find_tokenizer(const Deck& deck) {
  std::unique_ptr<Tokenizer> tokenizer;
  const auto failure = failure_of([&] { tokenizer = open_deck_tokenizer(deck); });
  if (tokenizer != nullptr) return tokenizer;
  if (failure) log::warn("vocab_file: {}: {}", deck.vocab_file, failure->what());
  for (const auto* paths : {&deck.data_path, &deck.train_data_paths, &deck.valid_data_paths,
                            &deck.test_data_paths}) {
    for (const std::string& path : *paths) {
      const auto unusable = failure_of(
          [&] { tokenizer = tokenizer_of(*open_tokens(path, DocumentCheck::none)); });
      if (!unusable && tokenizer != nullptr) return tokenizer;
    }
  }
  return nullptr;
}

bool same_tokenizer(const std::string& kind_a, const std::string& definition_a,
                    const std::string& kind_b, const std::string& definition_b) {
  if (kind_a == "bytes" && kind_b == "hugging-face") return has_single_bytes(definition_b);
  if (kind_a == "hugging-face" && kind_b == "bytes") return has_single_bytes(definition_a);
  if (kind_a != kind_b) return false;
  if (definition_a == definition_b) return true;
  auto a = nlohmann::json::parse(definition_a, nullptr, false);
  auto b = nlohmann::json::parse(definition_b, nullptr, false);
  if (!a.is_object() || !b.is_object()) return false;
  a.erase("end_of_document");
  b.erase("end_of_document");
  return a == b;
}

KeptTokenizer tokenizer_to_keep(const Deck& deck, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    std::unique_ptr<TokenSource> source;
    if (failure_of([&] { source = open_tokens(path, DocumentCheck::none); })) continue;
    if (source->tokenizer_kind().empty()) continue;
    return {source->tokenizer_kind(), source->tokenizer_definition()};
  }
  std::unique_ptr<Tokenizer> tokenizer;
  if (failure_of([&] { tokenizer = open_deck_tokenizer(deck); }) || tokenizer == nullptr) {
    return {};
  }
  return {tokenizer->kind(), tokenizer->definition()};
}

void adopt_tokenizer(KeptTokenizer& mine, const KeptTokenizer& loaded) {
  if (loaded.kind.empty()) return;
  if (mine.kind.empty()) {
    mine = loaded;
  } else if (!same_tokenizer(mine.kind, mine.definition, loaded.kind, loaded.definition)) {
    log::warn("the loaded checkpoint has another tokenizer than the data");
  }
}

void fill_from_tokenizer(Deck& deck, const std::vector<std::string>& paths) {
  if (tokenizer_named_by(deck).empty()) return;
  std::unique_ptr<Tokenizer> tokenizer;
  const auto failure = failure_of([&] { tokenizer = open_deck_tokenizer(deck); });
  const DataFacts facts = facts_of(deck, paths, tokenizer.get());
  if (failure) return without_tokenizer(deck, facts, failure->what());
  if (!facts.open) return;
  std::int64_t& size = deck.model.vocab_size;
  TRM_REQUIRE(size == 0 || size >= tokenizer->vocab_size(),
              "vocab_size is {} in the deck, but the tokenizer of {} has {} ids; leave "
              "vocab_size out of the deck, or raise it",
              size, tokenizer_named_by(deck), tokenizer->vocab_size());
  const bool fills = size == 0 || deck.end_of_document < 0;
  if (size == 0) size = tokenizer->vocab_size();
  if (deck.end_of_document < 0) deck.end_of_document = tokenizer->end_of_document();
  if (!fills) return;
  log::info("data     vocabulary of {} ids, and id {} ends documents, by {}", grouped(size),
            deck.end_of_document, tokenizer_named_by(deck));
}

}  // namespace trireme
