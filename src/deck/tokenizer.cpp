// SPDX-License-Identifier: Apache-2.0
// Opens the tokenizer that a deck names.
#include "trireme/deck/tokenizer.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

using Type = DeckSettings::TokenizerType;

constexpr TokenizerTypeRow kTypes[] = {
    {Type::any, "null", "", "any of these files"},
    {Type::gpt2_bpe, "GPT2BPETokenizer", "hugging-face",
     "GPT-2's vocab.json, with merges.txt in merge_file"},
    {Type::hugging_face, "HFTokenizer", "hugging-face", "Hugging Face's tokenizer.json"},
    {Type::hugging_face_gpt2, "HFGPT2Tokenizer", "hugging-face",
     "a folder with Hugging Face's tokenizer.json, or vocab.json and merges.txt"},
    {Type::sentence_piece, "SPMTokenizer", "sentencepiece", "a SentencePiece model"},
    {Type::characters, "CharLevelTokenizer", "characters", ""},
    {Type::tiktoken, "TiktokenTokenizer", "ranks", "a .tiktoken file"}};

}  // namespace

std::span<const TokenizerTypeRow> tokenizer_types() { return kTypes; }

std::string tokenizer_named_by(const Deck& deck) {
  if (deck.tokenizer_type == Type::characters) return "tokenizer_type: CharLevelTokenizer";
  return deck.vocab_file.empty() ? "" : "vocab_file: " + deck.vocab_file;
}

std::unique_ptr<Tokenizer> open_deck_tokenizer(const Deck& deck) {
  if (deck.tokenizer_type == Type::characters) return make_tokenizer("characters", "");
  if (deck.vocab_file.empty()) return nullptr;
  std::error_code code;
  TRM_REQUIRE(deck.vocab_file == "bytes" || std::filesystem::exists(deck.vocab_file, code),
              "there is no such file or folder");
  TokenizerSource source{.name = deck.vocab_file, .encoding = deck.tokenizer_encoding};
  if (deck.tokenizer_type == Type::any || deck.tokenizer_type == Type::gpt2_bpe) {
    source.merges = deck.merge_file;
  }
  auto tokenizer = open_tokenizer(source);
  const auto* row = std::ranges::find(kTypes, deck.tokenizer_type, &TokenizerTypeRow::type);
  TRM_REQUIRE(row->kind.empty() || tokenizer->kind() == row->kind,
              "tokenizer_type {} expects {}, but this is the tokenizer \"{}\"", row->name,
              row->files, tokenizer->kind());
  return tokenizer;
}

void take_vocabulary(Deck& deck) {
  if (deck.model.vocab_size > 0 || tokenizer_named_by(deck).empty()) return;
  try {
    deck.model.vocab_size = open_deck_tokenizer(deck)->vocab_size();
  } catch (const Error& e) {
    throw e.saying(fmt::format("{}: {}", tokenizer_named_by(deck), e.what()));
  }
}

}  // namespace trireme
