// SPDX-License-Identifier: Apache-2.0
// Moves the middle of documents to their end.
#include "trireme/data/fill_in_the_middle.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trireme/core/random.hpp"

namespace trireme {

namespace {

constexpr std::size_t kMarks = 3;

/// A document in three, as ids.
struct Parts {
  std::vector<std::int32_t> prefix;
  std::vector<std::int32_t> middle;
  std::vector<std::int32_t> suffix;
  [[nodiscard]] std::size_t size() const {
    return prefix.size() + middle.size() + suffix.size();
  }
};

/// The two places that split what has `size` pieces, in order: each 0 to `size`.
std::pair<std::size_t, std::size_t> places(const std::array<std::uint32_t, 4>& words,
                                           std::size_t size) {
  const auto place = [&](std::uint32_t word) {
    return static_cast<std::size_t>((std::uint64_t{word} * (size + 1)) >> 32U);
  };
  return std::minmax(place(words[1]), place(words[2]));
}

Parts split_tokens(std::span<const std::int32_t> document,
                   const std::array<std::uint32_t, 4>& words) {
  const auto [begin, end] = places(words, document.size());
  const auto part = [&](std::size_t from, std::size_t to) {
    const auto ids = document.subspan(from, to - from);
    return std::vector<std::int32_t>(ids.begin(), ids.end());
  };
  return {part(0, begin), part(begin, end), part(end, document.size())};
}

/// Where the characters of a text begin, and its end. Bytes before the first character belong
/// to it: a sample may begin within a character.
std::vector<std::size_t> characters_of(std::string_view text) {
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool continues = (static_cast<unsigned char>(text[i]) & 0xc0U) == 0x80;
    if (i == 0 || !continues) begins.push_back(i);
  }
  begins.push_back(text.size());
  return begins;
}

/// No parts if the document is more than its text, or if the text has fewer tokens.
std::optional<Parts> split_characters(std::span<const std::int32_t> document,
                                      const std::array<std::uint32_t, 4>& words,
                                      const Tokenizer& tokenizer) {
  for (const std::int32_t& id : document) {
    if (id < 0 || id >= tokenizer.vocab_size()) return std::nullopt;
    if (tokenizer.decode({&id, 1}).empty()) return std::nullopt;
  }
  const std::string text = tokenizer.decode(document);
  std::vector<std::int32_t> again;
  tokenizer.encode(text, again);
  if (tokenizer.decode(again) != text) return std::nullopt;
  const std::vector<std::size_t> begins = characters_of(text);
  const auto [begin, end] = places(words, begins.size() - 1);
  Parts parts;
  const auto encode = [&](std::size_t from, std::size_t to, TextPart part,
                          std::vector<std::int32_t>& ids) {
    const std::size_t bytes = begins[to] - begins[from];
    tokenizer.encode_part(std::string_view(text).substr(begins[from], bytes), part, ids);
  };
  encode(0, begin, TextPart::first, parts.prefix);
  encode(begin, end, begin == 0 ? TextPart::first : TextPart::later, parts.middle);
  encode(end, begins.size() - 1, end == 0 ? TextPart::first : TextPart::later, parts.suffix);
  if (parts.size() + kMarks < document.size()) return std::nullopt;
  return parts;
}

void change(const FillInTheMiddle& fim, std::span<std::int32_t> document,
            const std::array<std::uint32_t, 4>& words, const Tokenizer* tokenizer) {
  std::optional<Parts> parts;
  if (tokenizer != nullptr) parts = split_characters(document, words, *tokenizer);
  if (!parts) parts = split_tokens(document, words);
  const std::size_t more = parts->size() + kMarks - document.size();
  if (parts->suffix.size() < more) return;
  parts->suffix.resize(parts->suffix.size() - more);
  auto to = document.begin();
  const auto put = [&](std::int32_t mark, const std::vector<std::int32_t>& part) {
    *to++ = mark;
    to = std::ranges::copy(part, to).out;
  };
  const bool suffix_first = unit_interval(words[3]) < fim.spm_rate;
  put(fim.prefix, suffix_first ? std::vector<std::int32_t>{} : parts->prefix);
  put(fim.suffix, parts->suffix);
  put(fim.middle, suffix_first ? parts->prefix : parts->middle);
  if (suffix_first) std::ranges::copy(parts->middle, to);
}

}  // namespace

void FillInTheMiddle::apply(std::uint64_t seed, std::uint64_t k, std::int32_t end,
                            std::span<std::int32_t> tokens, const Tokenizer* tokenizer) const {
  if (rate <= 0) return;
  const RngKey key{seed, stream_of("fill in the middle")};
  std::uint32_t document = 0;
  for (std::size_t at = 0; at < tokens.size(); ++document) {
    const auto is_end = [&](std::int32_t stored) {
      return end >= 0 && (stored < 0 ? ~stored : stored) == end;
    };
    const auto stop = std::ranges::find_if(tokens.subspan(at), is_end);
    const auto size = static_cast<std::size_t>(stop - tokens.subspan(at).begin());
    const auto words = philox(key, k, document);
    if (unit_interval(words[0]) < rate) {
      change(*this, tokens.subspan(at, size), words, tokenizer);
    }
    at += size + 1;
  }
}

}  // namespace trireme
