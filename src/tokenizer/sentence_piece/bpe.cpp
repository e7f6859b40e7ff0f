// SPDX-License-Identifier: Apache-2.0
// SentencePiece's BPE: of all neighbours whose union is a piece, the pair with the best score
// merges first; of equal ones, the leftmost. Unused pieces are split again at the end.
#include <algorithm>
#include <array>
#include <functional>
#include <unordered_map>
#include <utility>

#include "../pair_table.hpp"
#include "../short_merge.hpp"
#include "../utf8.hpp"
#include "segmenter.hpp"
#include "word_normalizer.hpp"

namespace trireme::sentence_piece {

namespace {

constexpr int kNone = -1;
/// The index takes time that grows with the square of a piece's length.
constexpr std::size_t kLongestIndexed = 1024;

struct Symbol {
  int previous = kNone;
  int next = kNone;
  bool frozen = false;               // a user-defined symbol, which never merges
  std::uint32_t node = Trie::kNone;  // where the text ends among the pieces
  std::string_view text;             // empty: merged into the symbol before
};

struct Merge {
  float score;
  int left, right;
  std::size_t size;
  // The best stands on top of a heap.
  bool operator<(const Merge& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

using Halves = std::pair<std::string_view, std::string_view>;

class BpeSegmenter final : public Segmenter {
 public:
  explicit BpeSegmenter(const PieceTable& pieces)
      : pieces_(pieces),
        any_unused_(std::any_of(pieces.pieces().begin(), pieces.pieces().end(),
                                [](const Piece& p) { return p.type == PieceType::unused; })),
        merges_in_words_(!any_unused_ && !pieces.any_merges_words()) {
    if (!any_unused_ && pieces.user_defined().empty()) index_pairs();
  }

  void split(std::string_view word, float&, std::vector<Segment>& to) const override {
    if (split_short(word, to)) return;
    thread_local Work work;
    for (std::size_t at = 0; at < word.size();) {
      at = split_characters(word, at, work.symbols);
      split_symbols(work, to);
    }
  }

  [[nodiscard]] bool depends_on_score() const override { return false; }

 private:
  struct Work {
    std::vector<Symbol> symbols;
    std::vector<Merge> merges;                            // a heap
    std::unordered_map<std::string_view, Halves> halves;  // the unused pieces' parts
    Symbol& at(int i) { return symbols[static_cast<std::size_t>(i)]; }
  };

  // Which pairs of pieces are a piece, by the order of scores; equal scores have equal ranks.
  void index_pairs() {
    const std::vector<Piece>& all = pieces_.pieces();
    const auto is_long = [](const Piece& p) { return p.text.size() > kLongestIndexed; };
    if (std::any_of(all.begin(), all.end(), is_long)) return;
    std::vector<float> scores;
    for (const Piece& piece : all) scores.push_back(piece.score);
    std::sort(scores.begin(), scores.end(), std::greater<>());
    scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto id = static_cast<std::int32_t>(i);
      const std::string_view text = all[i].text;
      if (pieces_.text().value_of(text) != id) continue;
      final_ids_.resize(all.size());
      final_ids_[i] = pieces_.id_of(text);
      const auto rank =
          std::lower_bound(scores.begin(), scores.end(), all[i].score, std::greater<>()) -
          scores.begin();
      for (std::size_t at = 1; at < text.size(); ++at) {
        const std::int32_t left = pieces_.text().value_of(text.substr(0, at));
        if (left < 0) continue;
        const std::int32_t right = pieces_.text().value_of(text.substr(at));
        if (right >= 0) pairs_.add(left, right, {static_cast<std::uint32_t>(rank), id});
      }
    }
    for (std::size_t byte = 0; byte < ascii_.size(); ++byte) {
      const auto c = static_cast<char>(byte);
      ascii_[byte] = pieces_.text().value_of({&c, 1});
    }
    is_indexed_ = pairs_.largest_rank() < ShortMerge::kRanks && !final_ids_.empty();
  }

  // A word of few characters, each of which is a piece. Returns false for other words.
  bool split_short(std::string_view word, std::vector<Segment>& to) const {
    if (!is_indexed_) return false;
    ShortMerge merge;
    std::size_t n = 0;
    for (std::size_t at = 0; at < word.size(); ++n) {
      const auto byte = static_cast<unsigned char>(word[at]);
      const std::size_t bytes = byte < 0x80 ? 1 : code_point_at(word, at).bytes;
      const std::int32_t id =
          byte < 0x80 ? ascii_[byte] : pieces_.text().value_of(word.substr(at, bytes));
      if (id < 0 || n == ShortMerge::kMost) return false;
      merge.symbols[n] = id;
      at += bytes;
    }
    const auto& symbols = merge.symbols;
    std::size_t at = 0;
    merge.run(
        pairs_, n, [&](std::size_t i) { return pairs_.find(symbols[i], symbols[i + 1]); },
        [&](std::int32_t id) {
          const std::size_t bytes = pieces_.piece(id).text.size();
          to.push_back({word.substr(at, bytes), final_ids_[static_cast<std::size_t>(id)]});
          at += bytes;
        });
    return true;
  }

  void split_symbols(Work& work, std::vector<Segment>& to) const {
    work.merges.clear();
    if (any_unused_) work.halves.clear();
    for (int i = 1; i < static_cast<int>(work.symbols.size()); ++i) propose(work, i - 1, i);
    while (!work.merges.empty()) {
      std::pop_heap(work.merges.begin(), work.merges.end());
      const Merge merge = work.merges.back();
      work.merges.pop_back();
      apply(work, merge);
    }
    for (int i = 0; i != kNone; i = work.at(i).next) append(work, work.at(i), to);
  }

  // The symbols from `at` on, up to the next place that no merge can span. Returns that place.
  std::size_t split_characters(std::string_view word, std::size_t at,
                               std::vector<Symbol>& symbols) const {
    symbols.clear();
    const auto begins_word = [&] {
      return merges_in_words_ && !symbols.empty() && word.substr(at).starts_with(kSpaceMark) &&
             !symbols.back().text.ends_with(kSpaceMark);
    };
    while (at < word.size() && !begins_word()) {
      Symbol symbol;
      std::size_t size = pieces_.user_defined().longest(word.substr(at));
      symbol.frozen = size > 0;
      if (size == 0) size = code_point_at(word, at).bytes;
      symbol.text = word.substr(at, size);
      symbol.node = pieces_.text().find(symbol.text);
      symbol.previous = static_cast<int>(symbols.size()) - 1;
      at += size;
      symbol.next = static_cast<int>(symbols.size()) + 1;
      symbols.push_back(symbol);
    }
    symbols.back().next = kNone;
    return at;
  }

  void propose(Work& work, int left, int right) const {
    if (left == kNone || right == kNone) return;
    const Symbol& l = work.at(left);
    const Symbol& r = work.at(right);
    if (l.frozen || r.frozen) return;
    const std::uint32_t node = joined(l.node, r.text);
    const std::int32_t id = node == Trie::kNone ? -1 : pieces_.text().value(node);
    if (id < 0) return;
    const std::string_view both(l.text.data(), l.text.size() + r.text.size());
    work.merges.push_back({pieces_.piece(id).score, left, right, both.size()});
    std::push_heap(work.merges.begin(), work.merges.end());
    if (any_unused_ && pieces_.is(PieceType::unused, id)) work.halves[both] = {l.text, r.text};
  }

  void apply(Work& work, const Merge& merge) const {
    Symbol& left = work.at(merge.left);
    Symbol& right = work.at(merge.right);
    const bool stale = left.text.empty() || right.text.empty() ||
                       left.text.size() + right.text.size() != merge.size;
    if (stale) return;
    left.node = joined(left.node, right.text);
    left.text = std::string_view(left.text.data(), merge.size);
    left.next = right.next;
    if (right.next != kNone) work.at(right.next).previous = merge.left;
    right.text = {};
    propose(work, left.previous, merge.left);
    propose(work, merge.left, left.next);
  }

  // The node where a text ends that `right` ends and that leads to `node` before.
  [[nodiscard]] std::uint32_t joined(std::uint32_t node, std::string_view right) const {
    for (const char byte : right) {
      if (node == Trie::kNone) break;
      node = pieces_.text().next(node, byte);
    }
    return node;
  }

  void append(const Work& work, const Symbol& symbol, std::vector<Segment>& to) const {
    if (!any_unused_) {
      to.push_back({symbol.text, pieces_.id_of(symbol.text)});
      return;
    }
    std::vector<std::string_view> open{symbol.text};
    while (!open.empty()) {
      const std::string_view part = open.back();
      open.pop_back();
      const std::int32_t id = pieces_.id_of(part);
      const auto found =
          pieces_.is(PieceType::unused, id) ? work.halves.find(part) : work.halves.end();
      if (found == work.halves.end()) {
        to.push_back({part, id});
      } else {
        open.push_back(found->second.second);
        open.push_back(found->second.first);
      }
    }
  }

  const PieceTable& pieces_;
  bool any_unused_;
  PairTable pairs_;
  std::vector<std::int32_t> final_ids_;    // the id of a piece's text
  std::array<std::int32_t, 128> ascii_{};  // −1: no piece
  bool is_indexed_ = false;
  bool merges_in_words_;  // no merge joins a word to the next one's space
};

}  // namespace

std::unique_ptr<Segmenter> make_bpe_segmenter(const PieceTable& pieces) {
  return std::make_unique<BpeSegmenter>(pieces);
}

}  // namespace trireme::sentence_piece
