// SPDX-License-Identifier: Apache-2.0
// WordNormalizer: SentencePiece's normal form of a text, made word by word.
#pragma once

#include <array>
#include <bitset>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "../charsmap.hpp"
#include "../trie.hpp"
#include "model_file.hpp"

namespace trireme::sentence_piece {

/// The visible character that stands for a space.
constexpr std::string_view kSpaceMark = "\xe2\x96\x81";

class WordNormalizer {
 public:
  /// `kept` holds symbols that no rule may change, and must outlive this. With `in_words`, the
  /// normal form may be given in pieces that each but the first begin with kSpaceMark behind
  /// another character. `space_is_suffix` puts the added space last. Throws Error that begins
  /// with `where` if the table of characters is damaged.
  WordNormalizer(const NormalizerSpec& spec, const Trie& kept, bool space_is_suffix,
                 bool in_words, const std::string& where);

  /// Calls `take` with each part of the normal form of `text`, which may hold any bytes. A text
  /// that is `continued` stands behind a split_point() of a longer one.
  void normalize(std::string_view text, bool continued,
                 const std::function<void(std::string_view)>& take) const;
  /// The last offset at which `text` can be normalised in two parts, and given in words there;
  /// 0 if there is none.
  [[nodiscard]] std::size_t split_point(std::string_view text) const;

 private:
  struct Output;
  /// How many bytes begin `text` as a unit, and their normal form.
  struct Prefix {
    std::size_t bytes;
    std::string_view text;
  };
  [[nodiscard]] Prefix prefix_of(std::string_view text) const;
  [[nodiscard]] bool stays(std::string_view text, std::size_t at) const;
  void append(Output& to, std::string_view text) const;
  void append_space(Output& to) const;

  CharsMap map_;
  const Trie& kept_;
  bool add_space_, remove_extra_, escape_, space_is_suffix_, in_words_;
  bool splits_ = false;  // whether a space after a byte that stays always begins a word
  std::array<std::bitset<256>, 128> stays_;  // [a byte][the next]: the byte is its normal form
};

}  // namespace trireme::sentence_piece
