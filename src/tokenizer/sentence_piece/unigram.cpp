// SPDX-License-Identifier: Apache-2.0
// SentencePiece's Unigram: the pieces whose scores have the largest sum. Sums are formed in
// SentencePiece's precision and order, since rounding decides between equal ones.
#include <algorithm>
#include <limits>

#include "trireme/core/error.hpp"

#include "../utf8.hpp"
#include "segmenter.hpp"

namespace trireme::sentence_piece {

namespace {

constexpr float kUnknownPenalty = 10;  // below the least score of a normal piece
constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();

/// The best segments of the text before a byte.
struct Best {
  float score = 0;
  std::uint32_t begin = kNowhere;  // where the last segment begins
  std::int32_t id = -1;
  void improve(float other, std::size_t from, std::int32_t with) {
    if (begin != kNowhere && !(other > score)) return;
    score = other;
    begin = static_cast<std::uint32_t>(from);
    id = with;
  }
};

class UnigramSegmenter final : public Segmenter {
 public:
  explicit UnigramSegmenter(const PieceTable& pieces) : pieces_(pieces) {
    float least = std::numeric_limits<float>::max();
    largest_ = std::numeric_limits<float>::min();
    for (const Piece& piece : pieces.pieces()) {
      if (piece.type != PieceType::normal) continue;
      least = std::min(least, piece.score);
      largest_ = std::max(largest_, piece.score);
    }
    unknown_score_ = least - kUnknownPenalty;
  }

  void split(std::string_view word, float& score, std::vector<Segment>& to) const override {
    TRM_REQUIRE(word.size() < kNowhere, "a text of {} bytes without a space is too long",
                word.size());
    thread_local std::vector<Best> best;
    best.assign(word.size() + 1, Best{});
    best[0].score = score;
    for (std::size_t at = 0; at < word.size();) at += extend(word, at, best);
    const std::size_t first = to.size();
    for (std::size_t end = word.size(); end > 0; end = best[end].begin) {
      to.push_back({word.substr(best[end].begin, end - best[end].begin), best[end].id});
    }
    std::reverse(to.begin() + static_cast<std::ptrdiff_t>(first), to.end());
    score = best[word.size()].score;
  }

  [[nodiscard]] bool depends_on_score() const override { return true; }

 private:
  std::size_t extend(std::string_view word, std::size_t at, std::vector<Best>& best) const {
    const float before = best[at].score;
    const std::size_t one = code_point_at(word, at).bytes;
    const Trie& trie = pieces_.text();
    bool has_one = false;
    std::uint32_t node = Trie::kRoot;
    for (std::size_t i = at; i < word.size();) {
      node = trie.next(node, word[i++]);
      if (node == Trie::kNone) break;
      const std::int32_t id = trie.value(node);
      if (id < 0 || pieces_.is(PieceType::unused, id)) continue;
      best[i].improve(score_of(id, i - at) + before, at, id);
      has_one = has_one || i == at + one;
    }
    if (!has_one) best[at + one].improve(unknown_score_ + before, at, pieces_.unknown());
    return one;
  }

  // A user-defined piece is always better than its parts.
  [[nodiscard]] float score_of(std::int32_t id, std::size_t size) const {
    const Piece& piece = pieces_.piece(id);
    if (piece.type != PieceType::user_defined) return piece.score;
    return static_cast<float>(static_cast<double>(static_cast<float>(size) * largest_) - 0.1);
  }

  const PieceTable& pieces_;
  float unknown_score_ = 0;
  float largest_ = 0;
};

}  // namespace

std::unique_ptr<Segmenter> make_unigram_segmenter(const PieceTable& pieces) {
  return std::make_unique<UnigramSegmenter>(pieces);
}

}  // namespace trireme::sentence_piece
