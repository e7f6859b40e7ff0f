// SPDX-License-Identifier: Apache-2.0
// PieceTable: the pieces of a SentencePiece model, found by their text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../trie.hpp"
#include "model_file.hpp"

namespace trireme::sentence_piece {

class PieceTable {
 public:
  /// Throws Error that begins with `where` if pieces contradict each other. Two pieces must
  /// differ, one must be unknown, and byte pieces stand for all bytes or are not asked for.
  PieceTable(std::vector<Piece> pieces, bool byte_fallback, const std::string& where);

  [[nodiscard]] const std::vector<Piece>& pieces() const { return pieces_; }
  [[nodiscard]] const Piece& piece(std::int32_t id) const {
    return pieces_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] bool is(PieceType type, std::int32_t id) const {
    return piece(id).type == type;
  }
  [[nodiscard]] std::int32_t unknown() const { return unknown_; }
  [[nodiscard]] bool byte_fallback() const { return byte_fallback_; }
  [[nodiscard]] std::int32_t id_of_byte(char byte) const {
    return byte_ids_[static_cast<unsigned char>(byte)];
  }
  /// The byte that a byte piece stands for.
  [[nodiscard]] static int byte_of(std::string_view text);

  /// The pieces that text can become: normal, user-defined and unused ones.
  [[nodiscard]] const Trie& text() const { return text_; }
  [[nodiscard]] const Trie& user_defined() const { return user_defined_; }
  /// The id of any piece; unknown() if no piece is equal.
  [[nodiscard]] std::int32_t id_of(std::string_view text) const;
  /// Whether a piece of text holds kSpaceMark behind another character.
  [[nodiscard]] bool any_spans_words() const;
  /// Like any_spans_words(), for the pieces that merges make: no user-defined ones.
  [[nodiscard]] bool any_merges_words() const;

 private:
  [[nodiscard]] static bool spans_words(const Piece& piece);
  void find_bytes(const std::string& where);

  std::vector<Piece> pieces_;
  bool byte_fallback_;
  Trie text_, user_defined_, reserved_;
  std::array<std::int32_t, 256> byte_ids_{};
  std::int32_t unknown_ = -1;
};

}  // namespace trireme::sentence_piece
