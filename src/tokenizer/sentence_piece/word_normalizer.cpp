// SPDX-License-Identifier: Apache-2.0
// WordNormalizer: SentencePiece's normal form of a text, made word by word.
#include "word_normalizer.hpp"

#include "../utf8.hpp"

namespace trireme::sentence_piece {

namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // what a byte outside UTF-8 becomes

}  // namespace

struct WordNormalizer::Output {
  std::string word;
  const std::function<void(std::string_view)>& take;
};

WordNormalizer::WordNormalizer(const NormalizerSpec& spec, const Trie& kept,
                               bool space_is_suffix, bool in_words, const std::string& where)
    : kept_(kept),
      add_space_(spec.add_dummy_prefix),
      remove_extra_(spec.remove_extra_whitespaces),
      escape_(spec.escape_whitespaces),
      space_is_suffix_(space_is_suffix),
      in_words_(in_words && spec.escape_whitespaces && !space_is_suffix) {
  if (!spec.charsmap.empty()) map_ = CharsMap(spec.charsmap, where);
  for (unsigned byte = 0; byte < stays_.size(); ++byte) {
    for (unsigned next = 0; next < 256; ++next) {
      const std::string pair{static_cast<char>(byte), static_cast<char>(next)};
      const std::uint32_t symbol = kept_.next(Trie::kRoot, pair[0]);
      stays_[byte][next] =
          !map_.longest(pair.substr(0, 1)) && !map_.reaches(pair) && symbol == Trie::kNone;
    }
  }
  splits_ =
      in_words_ && !map_.reaches(" ") && !map_.any_holds_behind_first(' ') && kept_.empty();
}

bool WordNormalizer::stays(std::string_view text, std::size_t at) const {
  const auto byte = static_cast<unsigned char>(text[at]);
  return byte < 0x80 && at + 1 < text.size() &&
         stays_[byte][static_cast<unsigned char>(text[at + 1])];
}

WordNormalizer::Prefix WordNormalizer::prefix_of(std::string_view text) const {
  if (const std::size_t bytes = kept_.longest(text)) return {bytes, text.substr(0, bytes)};
  if (const auto rule = map_.longest(text)) return {rule->bytes, rule->text};
  const std::size_t bytes = valid_utf8_at(text, 0);
  if (bytes == 0) return {1, kReplacement};
  return {bytes, text.substr(0, bytes)};
}

void WordNormalizer::append_space(Output& to) const {
  if (!escape_) {
    to.word += ' ';
    return;
  }
  if (in_words_ && !to.word.empty() && !to.word.ends_with(kSpaceMark)) {
    to.take(to.word);
    to.word.clear();
  }
  to.word += kSpaceMark;
}

void WordNormalizer::append(Output& to, std::string_view text) const {
  for (const char c : text) {
    if (c == ' ') {
      append_space(to);
    } else {
      to.word += c;
    }
  }
}

std::size_t WordNormalizer::split_point(std::string_view text) const {
  if (!splits_) return 0;
  for (std::size_t at = text.rfind(' '); at != std::string_view::npos && at > 0;
       at = text.rfind(' ', at - 1)) {
    if (text[at - 1] != ' ' && stays(text, at - 1)) return at;
  }
  return 0;
}

void WordNormalizer::normalize(std::string_view text, bool continued,
                               const std::function<void(std::string_view)>& take) const {
  if (remove_extra_ && !continued) {
    while (!text.empty()) {
      const Prefix prefix = prefix_of(text);
      if (prefix.text != " ") break;
      text.remove_prefix(prefix.bytes);
    }
  }
  if (text.empty()) return;
  Output to{{}, take};
  if (add_space_ && !space_is_suffix_ && !continued) append_space(to);
  bool after_space = remove_extra_ && !continued;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != ' ' && stays(text, at)) {
      const std::size_t begin = at++;
      while (at < text.size() && text[at] != ' ' && stays(text, at)) ++at;
      to.word += text.substr(begin, at - begin);
      after_space = false;
      continue;
    }
    const Prefix prefix = prefix_of(text.substr(at));
    std::string_view made = prefix.text;
    while (after_space && made.starts_with(' ')) made.remove_prefix(1);
    append(to, made);
    if (!made.empty()) after_space = remove_extra_ && made.ends_with(' ');
    at += prefix.bytes;
  }
  if (remove_extra_) {
    const std::string_view space = escape_ ? kSpaceMark : " ";
    while (to.word.ends_with(space)) to.word.erase(to.word.size() - space.size());
  }
  if (add_space_ && space_is_suffix_) append_space(to);
  if (!to.word.empty()) take(to.word);
}

}  // namespace trireme::sentence_piece
