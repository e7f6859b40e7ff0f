// SPDX-License-Identifier: Apache-2.0
// What a SentencePiece model file holds.
#include "model_file.hpp"

#include <cmath>
#include <limits>

#include "trireme/core/error.hpp"

#include "../utf8.hpp"
#include "wire.hpp"

namespace trireme::sentence_piece {

namespace {

void require_utf8(std::string_view text, const std::string& where) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = valid_utf8_at(text, at);
    TRM_REQUIRE(size > 0, "{}: byte {} is no UTF-8", where, at);
    at += size;
  }
}

Piece read_piece(std::string_view bytes, const std::string& where) {
  Piece piece;
  for (Wire wire(bytes, where); wire.next();) {
    if (wire.field() == 1) piece.text = wire.text();
    if (wire.field() == 2) piece.score = wire.real();
    if (wire.field() == 3) {
      const std::uint64_t type = wire.number();
      TRM_REQUIRE(type >= 1 && type <= 6, "{}: the type {} is not known", where, type);
      piece.type = static_cast<PieceType>(type);
    }
  }
  TRM_REQUIRE(!piece.text.empty(), "{}: the piece is empty", where);
  TRM_REQUIRE(std::isfinite(piece.score), "{}: the score is no finite number", where);
  require_utf8(piece.text, where);
  return piece;
}

void read_trainer(ModelFile& file, std::string_view bytes, const std::string& where) {
  for (Wire wire(bytes, where); wire.next();) {
    switch (wire.field()) {
      case 3: {
        const std::uint64_t type = wire.number();
        TRM_REQUIRE(type >= 1 && type <= 4, "{}: the model_type {} is not known", where, type);
        file.algorithm = static_cast<Algorithm>(type);
        break;
      }
      case 24:
        file.treat_whitespace_as_suffix = wire.boolean();
        break;
      case 35:
        file.byte_fallback = wire.boolean();
        break;
      case 44:
        file.unknown_surface = wire.text();
        break;
      case 47:
        file.end_piece = wire.text();
        break;
      default:
        break;  // how the model was trained
    }
  }
}

NormalizerSpec read_normalizer(std::string_view bytes, const std::string& where) {
  NormalizerSpec spec;
  for (Wire wire(bytes, where); wire.next();) {
    switch (wire.field()) {
      case 2:
        spec.charsmap = wire.text();
        break;
      case 3:
        spec.add_dummy_prefix = wire.boolean();
        break;
      case 4:
        spec.remove_extra_whitespaces = wire.boolean();
        break;
      case 5:
        spec.escape_whitespaces = wire.boolean();
        break;
      default:
        break;  // its name, and the rules that made the table
    }
  }
  return spec;
}

}  // namespace

ModelFile::ModelFile(std::string_view bytes, const std::string& where) {
  for (Wire wire(bytes, where); wire.next();) {
    switch (wire.field()) {
      case 1:
        pieces.push_back(
            read_piece(wire.text(), fmt::format("{}: piece {}", where, pieces.size())));
        break;
      case 2:
        read_trainer(*this, wire.text(), where + ": trainer_spec");
        break;
      case 3:
        normalizer = read_normalizer(wire.text(), where + ": normalizer_spec");
        break;
      case 5:
        denormalizer = read_normalizer(wire.text(), where + ": denormalizer_spec");
        break;
      default:
        break;  // samples for a self-test
    }
  }
  TRM_REQUIRE(!pieces.empty(), "{}: a SentencePiece model without pieces", where);
  TRM_REQUIRE(pieces.size() < std::numeric_limits<std::int32_t>::max(),
              "{}: {} pieces are too many", where, pieces.size());
}

}  // namespace trireme::sentence_piece
