// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a SentencePiece model.
#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "trireme/core/error.hpp"

#include "../base64.hpp"
#include "../sentence_piece.hpp"
#include "../utf8.hpp"
#include "../word_cache.hpp"
#include "model_file.hpp"
#include "pieces.hpp"
#include "segmenter.hpp"
#include "word_normalizer.hpp"

namespace trireme {

namespace sentence_piece {

namespace {

std::unique_ptr<Segmenter> make_segmenter(Algorithm algorithm, const PieceTable& pieces,
                                          const std::string& where) {
  TRM_REQUIRE(algorithm == Algorithm::bpe || algorithm == Algorithm::unigram,
              "{}: SentencePiece models of words or characters are not supported, only bpe and "
              "unigram",
              where);
  return algorithm == Algorithm::bpe ? make_bpe_segmenter(pieces)
                                     : make_unigram_segmenter(pieces);
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view bytes, const std::string& where)
      : SentencePieceTokenizer(bytes, ModelFile(bytes, where), where) {}

  [[nodiscard]] std::string kind() const override { return "sentencepiece"; }
  [[nodiscard]] std::string definition() const override { return to_base64(bytes_); }
  [[nodiscard]] std::int64_t vocab_size() const override {
    return static_cast<std::int64_t>(pieces_.pieces().size()) + (end_is_piece_ ? 0 : 1);
  }
  [[nodiscard]] std::int32_t end_of_document() const override { return end_; }

  void encode_part(std::string_view text, TextPart part,
                   std::vector<std::int32_t>& to) const override;
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const override {
    const std::int32_t id = pieces_.id_of(token);
    return id == pieces_.unknown() && pieces_.piece(id).text != token ? std::nullopt
                                                                      : std::optional(id);
  }
  [[nodiscard]] std::size_t split_point(std::string_view text) const override {
    return splits_ ? normalizer_.split_point(text) : 0;
  }
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const override;

 private:
  SentencePieceTokenizer(std::string_view bytes, ModelFile file, const std::string& where);

  [[nodiscard]] std::string_view surface(std::string_view text, std::int32_t id, bool first,
                                         bool& has_space) const;
  static void append_bytes(std::string& text, std::string& bytes);
  /// What one thread needs while it encodes.
  struct Workspace {
    WordCache cache;
    std::vector<Segment> segments;
    std::vector<std::int32_t> ids;
    float score = 0;  // the sum over all words so far
    bool after_unknown = false;
  };
  void find_separators();
  void encode_word(std::string_view word, Workspace& work, std::vector<std::int32_t>& to) const;
  void encode_part_of_word(std::string_view word, Workspace& work,
                           std::vector<std::int32_t>& to) const;
  bool split_word(std::string_view word, Workspace& work) const;

  std::string bytes_;  // the file
  PieceTable pieces_;
  WordNormalizer normalizer_;
  Trie no_symbols_;
  std::optional<WordNormalizer> denormalizer_;
  std::unique_ptr<Segmenter> segmenter_;
  std::string unknown_surface_;
  bool drops_first_space_, drops_all_first_spaces_;
  std::int32_t end_ = 0;
  bool end_is_piece_ = true;
  bool splits_ = false;
  std::array<bool, 256> separates_{};  ///< ASCII that no piece holds beside other characters
  /// Workspaces that no thread uses now.
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view bytes, ModelFile file,
                                               const std::string& where)
    : bytes_(bytes),
      pieces_(std::move(file.pieces), file.byte_fallback, where),
      normalizer_(file.normalizer, pieces_.user_defined(), file.treat_whitespace_as_suffix,
                  !pieces_.any_spans_words(), where + ": normalizer_spec"),
      segmenter_(make_segmenter(file.algorithm, pieces_, where)),
      unknown_surface_(std::move(file.unknown_surface)),
      drops_first_space_(file.normalizer.add_dummy_prefix ||
                         file.normalizer.remove_extra_whitespaces),
      drops_all_first_spaces_(file.normalizer.remove_extra_whitespaces) {
  if (!file.denormalizer.charsmap.empty()) {
    denormalizer_.emplace(file.denormalizer, no_symbols_, false, false,
                          where + ": denormalizer_spec");
  }
  end_ = pieces_.id_of(file.end_piece);
  end_is_piece_ = pieces_.is(PieceType::control, end_);
  if (!end_is_piece_) end_ = static_cast<std::int32_t>(pieces_.pieces().size());
  if (file.algorithm == Algorithm::bpe) find_separators();
  // A space must not be unknown, since unknown neighbours are one.
  splits_ = !segmenter_->depends_on_score() &&
            (pieces_.byte_fallback() || pieces_.text().value_of(kSpaceMark) >= 0);
}

void SentencePieceTokenizer::find_separators() {
  std::fill_n(separates_.begin(), 128, true);
  for (const Piece& piece : pieces_.pieces()) {
    if (piece.text.size() == 1 || pieces_.text().value_of(piece.text) < 0) continue;
    for (const char c : piece.text) separates_[static_cast<unsigned char>(c)] = false;
  }
}

void SentencePieceTokenizer::encode_part(std::string_view text, TextPart part,
                                         std::vector<std::int32_t>& to) const {
  std::unique_ptr<Workspace> work;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      work = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (work == nullptr) work = std::make_unique<Workspace>();
  work->score = 0;
  work->after_unknown = false;
  normalizer_.normalize(text, part == TextPart::later,
                        [&](std::string_view word) { encode_word(word, *work, to); });
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(work));
}

/// What stands around such a character is encoded by itself: it is met again more often.
void SentencePieceTokenizer::encode_word(std::string_view word, Workspace& work,
                                         std::vector<std::int32_t>& to) const {
  std::size_t begin = 0;
  for (std::size_t at = 0; at < word.size(); ++at) {
    if (!separates_[static_cast<unsigned char>(word[at])]) continue;
    if (begin < at) encode_part_of_word(word.substr(begin, at - begin), work, to);
    encode_part_of_word(word.substr(at, 1), work, to);
    begin = at + 1;
  }
  if (begin < word.size()) encode_part_of_word(word.substr(begin), work, to);
}

void SentencePieceTokenizer::encode_part_of_word(std::string_view word, Workspace& work,
                                                 std::vector<std::int32_t>& to) const {
  const bool is_kept =
      !segmenter_->depends_on_score() && word.size() <= WordCache::kLongestWord;
  std::span<const std::int32_t> ids;
  bool may_be_long = is_kept;
  if (is_kept && word.size() <= WordCache::kShortWord) {
    work.cache.make_room();
    const WordCache::Key key = WordCache::key_of(word, word.data() + word.size());
    const auto* const entry = work.cache.find(key, work.cache.slot_of(key));
    if (entry != nullptr) ids = std::span(entry->ids).first(entry->count);
    may_be_long = entry != nullptr && ids.empty();
  }
  if (may_be_long) ids = work.cache.find_long(word);
  if (!ids.empty()) {
    to.insert(to.end(), ids.begin(), ids.end());
    work.after_unknown = false;
    return;
  }
  const bool alone = split_word(word, work);
  to.insert(to.end(), work.ids.begin(), work.ids.end());
  if (is_kept && alone) work.cache.insert(word, work.ids);
}

// Returns whether the ids would be equal behind any other word.
bool SentencePieceTokenizer::split_word(std::string_view word, Workspace& work) const {
  work.segments.clear();
  work.ids.clear();
  segmenter_->split(word, work.score, work.segments);
  bool alone = true;
  for (const auto& [part, id] : work.segments) {
    const bool unknown = id == pieces_.unknown();
    if (unknown && pieces_.byte_fallback()) {
      for (const char byte : part) work.ids.push_back(pieces_.id_of_byte(byte));
    } else if (!unknown || !work.after_unknown) {  // unknown neighbours are one
      work.ids.push_back(id);
    }
    alone = alone && (!unknown || pieces_.byte_fallback());
    work.after_unknown = unknown;
  }
  return alone;
}

// Appends what byte pieces stand for; a byte outside UTF-8 becomes U+FFFD.
void SentencePieceTokenizer::append_bytes(std::string& text, std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = valid_utf8_at(bytes, at);
    text +=
        size == 0 ? std::string_view("\xef\xbf\xbd") : std::string_view(bytes).substr(at, size);
    at += std::max<std::size_t>(size, 1);
  }
  bytes.clear();
}

// The text of a piece, still with kSpaceMark. `has_space` says whether the first piece's space
// was dropped.
std::string_view SentencePieceTokenizer::surface(std::string_view text, std::int32_t id,
                                                 bool first, bool& has_space) const {
  has_space = false;
  if (pieces_.is(PieceType::control, id)) return "";
  if (pieces_.is(PieceType::unknown, id)) return unknown_surface_;
  if (first && drops_first_space_ && text.starts_with(kSpaceMark)) {
    text.remove_prefix(kSpaceMark.size());
    has_space = !drops_all_first_spaces_;
  }
  return text;
}

std::string SentencePieceTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text, bytes;
  bool first = true, space_seen = false;
  for (const std::int32_t given : ids) {
    TRM_REQUIRE(given >= 0 && given < vocab_size(), "token id {} is not in a vocabulary of {}",
                given, vocab_size());
    if (given == end_ && !end_is_piece_) continue;
    const std::string& piece = pieces_.piece(given).text;
    const std::int32_t id = pieces_.id_of(piece);
    if (pieces_.is(PieceType::byte, id)) {
      bytes += static_cast<char>(PieceTable::byte_of(piece));
      continue;
    }
    append_bytes(text, bytes);
    if (space_seen || !text.empty()) first = false;
    std::string_view rest = surface(piece, id, first, space_seen);
    while (!rest.empty()) {
      const std::size_t mark = rest.find(kSpaceMark);
      text += rest.substr(0, mark);
      if (mark == std::string_view::npos) break;
      text += ' ';
      rest.remove_prefix(mark + kSpaceMark.size());
    }
  }
  append_bytes(text, bytes);
  if (!denormalizer_) return text;
  std::string result;
  denormalizer_->normalize(text, false, [&](std::string_view part) { result += part; });
  return result;
}

}  // namespace

}  // namespace sentence_piece

// The first field of a model is its first piece: its tag, a size, and a string's tag.
bool is_sentence_piece(std::string_view bytes) {
  if (bytes.size() < 4 || bytes[0] != 0x0a) return false;
  std::size_t at = 1;
  while (at < bytes.size() && (static_cast<unsigned char>(bytes[at]) & 0x80) != 0) ++at;
  return at + 1 < bytes.size() && at < 6 && bytes[at + 1] == 0x0a;
}

std::unique_ptr<Tokenizer> read_sentence_piece(std::string_view bytes,
                                               const std::string& where) {
  return std::make_unique<sentence_piece::SentencePieceTokenizer>(bytes, where);
}

std::unique_ptr<Tokenizer> make_sentence_piece(const std::string& definition) {
  constexpr auto kWhere = "the tokenizer \"sentencepiece\"";
  const auto bytes = from_base64(definition);
  TRM_REQUIRE(bytes.has_value(), "{}: its definition is no base64", kWhere);
  return read_sentence_piece(*bytes, kWhere);
}

}  // namespace trireme
