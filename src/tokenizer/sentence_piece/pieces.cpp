// SPDX-License-Identifier: Apache-2.0
// PieceTable: the pieces of a SentencePiece model, found by their text.
#include "pieces.hpp"

#include <algorithm>
#include <charconv>
#include <unordered_set>
#include <utility>

#include "trireme/core/error.hpp"

#include "word_normalizer.hpp"

namespace trireme::sentence_piece {

namespace {

using Keys = std::vector<std::pair<std::string_view, std::int32_t>>;

bool is_text(PieceType type) {
  return type == PieceType::normal || type == PieceType::user_defined ||
         type == PieceType::unused;
}

}  // namespace

PieceTable::PieceTable(std::vector<Piece> pieces, bool byte_fallback, const std::string& where)
    : pieces_(std::move(pieces)), byte_fallback_(byte_fallback) {
  Keys text, reserved, user_defined;
  std::unordered_set<std::string_view> seen_text, seen_reserved;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    const auto id = static_cast<std::int32_t>(i);
    auto& seen = is_text(piece.type) ? seen_text : seen_reserved;
    TRM_REQUIRE(seen.insert(piece.text).second, "{}: the piece \"{}\" is defined twice", where,
                piece.text);
    (is_text(piece.type) ? text : reserved).emplace_back(piece.text, id);
    if (piece.type == PieceType::user_defined) user_defined.emplace_back(piece.text, id);
    if (piece.type == PieceType::unknown) {
      TRM_REQUIRE(unknown_ < 0, "{}: two unknown pieces: \"{}\" and \"{}\"", where,
                  pieces_[static_cast<std::size_t>(std::max(unknown_, 0))].text, piece.text);
      unknown_ = id;
    }
  }
  TRM_REQUIRE(unknown_ >= 0, "{}: the unknown piece is missing", where);
  text_ = Trie(std::move(text));
  reserved_ = Trie(std::move(reserved));
  user_defined_ = Trie(std::move(user_defined));
  find_bytes(where);
}

int PieceTable::byte_of(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const std::size_t high = kDigits.find(text[3]);
  const std::size_t low = kDigits.find(text[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return -1;
  return static_cast<int>(high * 16 + low);
}

void PieceTable::find_bytes(const std::string& where) {
  byte_ids_.fill(-1);
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (pieces_[i].type != PieceType::byte) continue;
    const std::string& text = pieces_[i].text;
    TRM_REQUIRE(byte_fallback_,
                "{}: the byte piece \"{}\" stands in a model without byte_fallback", where,
                text);
    const int byte = byte_of(text);
    TRM_REQUIRE(byte >= 0, "{}: the byte piece \"{}\" is none of <0x00> to <0xFF>", where,
                text);
    byte_ids_[static_cast<std::size_t>(byte)] = static_cast<std::int32_t>(i);
  }
  if (!byte_fallback_) return;
  const auto missing = std::find(byte_ids_.begin(), byte_ids_.end(), -1);
  TRM_REQUIRE(missing == byte_ids_.end(), "{}: byte_fallback needs the piece <0x{:02X}>", where,
              missing - byte_ids_.begin());
}

std::int32_t PieceTable::id_of(std::string_view text) const {
  if (const std::int32_t id = reserved_.value_of(text); id >= 0) return id;
  const std::int32_t id = text_.value_of(text);
  return id < 0 ? unknown_ : id;
}

bool PieceTable::spans_words(const Piece& piece) {
  if (!is_text(piece.type)) return false;
  const std::string_view text = piece.text;
  for (std::size_t at = text.find(kSpaceMark, 1); at != std::string_view::npos;
       at = text.find(kSpaceMark, at + 1)) {
    if (!text.substr(0, at).ends_with(kSpaceMark)) return true;
  }
  return false;
}

bool PieceTable::any_spans_words() const {
  return std::any_of(pieces_.begin(), pieces_.end(), spans_words);
}

bool PieceTable::any_merges_words() const {
  return std::any_of(pieces_.begin(), pieces_.end(), [](const Piece& piece) {
    return piece.type != PieceType::user_defined && spans_words(piece);
  });
}

}  // namespace trireme::sentence_piece
