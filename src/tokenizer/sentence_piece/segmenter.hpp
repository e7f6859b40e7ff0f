// SPDX-License-Identifier: Apache-2.0
// Segmenter: splits normalised text into the pieces of a SentencePiece model.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "pieces.hpp"

namespace trireme::sentence_piece {

/// A part of the text and the piece that stands for it.
struct Segment {
  std::string_view text;
  std::int32_t id;
};

/// Immutable, so threads may share it.
class Segmenter {
 public:
  virtual ~Segmenter() = default;
  /// Appends the segments of `word`, valid UTF-8. `score` is the sum of the scores of all words
  /// before in the text, and becomes the sum with this word's.
  virtual void split(std::string_view word, float& score, std::vector<Segment>& to) const = 0;
  /// Whether the segments of a word depend on `score`.
  [[nodiscard]] virtual bool depends_on_score() const = 0;
};

// `pieces` must outlive the segmenter.
[[nodiscard]] std::unique_ptr<Segmenter> make_bpe_segmenter(const PieceTable& pieces);
[[nodiscard]] std::unique_ptr<Segmenter> make_unigram_segmenter(const PieceTable& pieces);

}  // namespace trireme::sentence_piece
