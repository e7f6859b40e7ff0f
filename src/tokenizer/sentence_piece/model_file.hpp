// SPDX-License-Identifier: Apache-2.0
// What a SentencePiece model file holds: the fields of its ModelProto that matter here
// (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::sentence_piece {

enum class PieceType : std::uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6,
};

struct Piece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::normal;
};

enum class Algorithm : std::uint8_t { unigram = 1, bpe = 2, word = 3, character = 4 };

struct NormalizerSpec {
  std::string charsmap;  ///< the bytes of a CharsMap; empty: none
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

struct ModelFile {
  std::vector<Piece> pieces;
  Algorithm algorithm = Algorithm::unigram;
  bool treat_whitespace_as_suffix = false;
  bool byte_fallback = false;
  std::string unknown_surface = " \xe2\x81\x87 ";  ///< what an unknown piece decodes to
  std::string end_piece = "</s>";
  NormalizerSpec normalizer;
  NormalizerSpec denormalizer;

  /// Reads `bytes`. Throws Error that begins with `where` if they are no such file, or if a
  /// field has an impossible size or value.
  ModelFile(std::string_view bytes, const std::string& where);
};

}  // namespace trireme::sentence_piece
