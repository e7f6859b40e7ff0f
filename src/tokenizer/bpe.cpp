// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding.
#include "bpe.hpp"

#include <algorithm>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "short_merge.hpp"
#include "utf8.hpp"

namespace trireme {

namespace {

/// The token that stands for a byte where its character has none.
std::string fallback_token(unsigned byte) { return fmt::format("<0x{:02X}>", byte); }

std::uint64_t pair_of(char32_t before, char32_t after) {
  return static_cast<std::uint64_t>(before) << 32 | after;
}

/// The pairs of code points that stand side by side in tokens.
std::vector<std::uint64_t> neighbours_in(const Vocabulary& vocabulary) {
  std::vector<std::uint64_t> pairs;
  for (std::int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string& token = vocabulary.token_of(id);
    if (!is_valid_utf8(token)) continue;
    char32_t before = 0;
    for (std::size_t at = 0; at < token.size();) {
      const CodePoint c = code_point_at(token, at);
      if (at > 0) pairs.push_back(pair_of(before, c.value));
      before = c.value;
      at += c.bytes;
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, PairTable merges, BpeOptions options, const std::string& where)
    : vocabulary_(std::move(vocabulary)),
      merges_(std::move(merges)),
      options_(std::move(options)) {
  if (!options_.unknown.empty()) {
    const auto id = vocabulary_.id_of(options_.unknown);
    TRM_REQUIRE(id.has_value(), "{}: the unk_token \"{}\" is not in the vocabulary", where,
                printable(options_.unknown));
    unknown_ = *id;
  }
  has_fallback_ = options_.byte_fallback;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string token =
        options_.bytes ? std::string(1, static_cast<char>(byte)) : fallback_token(byte);
    byte_ids_[byte] = vocabulary_.id_of(token).value_or(-1);
  }
  if (options_.bytes) {
    index_bytes();
  } else {
    neighbours_ = neighbours_in(vocabulary_);
  }
  if (options_.ignore_merges) find_wholes();
}

void Bpe::index_bytes() {
  if (std::ranges::find(byte_ids_, -1) != byte_ids_.end() ||
      merges_.largest_rank() >= ShortMerge::kRanks) {
    return;
  }
  byte_pairs_.resize(std::size_t{1} << 16);
  for (unsigned pair = 0; pair < byte_pairs_.size(); ++pair) {
    byte_pairs_[pair] = merges_.find(byte_ids_[pair >> 8], byte_ids_[pair & 255]);
  }
}

void Bpe::find_wholes() {
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; id < vocabulary_.size(); ++id) {
    const std::string& token = vocabulary_.token_of(id);
    if (token.empty() || vocabulary_.id_of(token) != id) continue;
    ids.clear();
    merge(token, ids);
    if (ids.size() != 1 || ids[0] != id) wholes_.emplace(token, id);
  }
}

void Bpe::encode(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (!wholes_.empty()) {
    const auto whole = wholes_.find(piece);
    if (whole != wholes_.end()) {
      ids.push_back(whole->second);
      return;
    }
  }
  merge(piece, ids);
}

void Bpe::merge(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (!byte_pairs_.empty() && piece.size() <= ShortMerge::kMost) return merge_short(piece, ids);
  thread_local std::vector<std::int32_t> symbols;
  symbols.clear();
  if (options_.bytes) {
    split_bytes(piece, symbols);
  } else {
    split_characters(piece, symbols);
  }
  merge_all(merges_, symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void Bpe::merge_short(std::string_view piece, std::vector<std::int32_t>& ids) const {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(piece[i]); };
  ShortMerge short_merge;
  for (std::size_t i = 0; i < piece.size(); ++i) short_merge.symbols[i] = byte_ids_[byte(i)];
  short_merge.run(
      merges_, piece.size(),
      [&](std::size_t i) { return byte_pairs_[std::size_t{byte(i)} << 8U | byte(i + 1)]; },
      [&](std::int32_t id) { ids.push_back(id); });
}

void Bpe::split_bytes(std::string_view piece, std::vector<std::int32_t>& symbols) const {
  bool last_unknown = false;
  for (const char c : piece) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    const bool is_unknown = id < 0;
    if (!is_unknown) {
      symbols.push_back(id);
    } else if (unknown_ >= 0 && !(last_unknown && options_.fuse_unknown)) {
      symbols.push_back(unknown_);
    }
    last_unknown = is_unknown;
  }
}

std::int32_t Bpe::character_id(std::string_view piece, std::size_t at,
                               std::size_t bytes) const {
  const std::string_view character = piece.substr(at, bytes);
  const bool has_prefix = at > 0 && !options_.inner_prefix.empty();
  const bool has_suffix = at + bytes == piece.size() && !options_.end_suffix.empty();
  if (!has_prefix && !has_suffix) return vocabulary_.id_of(character).value_or(-1);
  std::string token;
  if (has_prefix) token += options_.inner_prefix;
  token += character;
  if (has_suffix) token += options_.end_suffix;
  return vocabulary_.id_of(token).value_or(-1);
}

/// Appends the tokens of all bytes, if each has one.
bool Bpe::fall_back(std::string_view character, std::vector<std::int32_t>& symbols) const {
  const auto id_of_byte = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (std::any_of(character.begin(), character.end(),
                  [&](char c) { return id_of_byte(c) < 0; })) {
    return false;
  }
  for (const char c : character) symbols.push_back(id_of_byte(c));
  return true;
}

void Bpe::split_characters(std::string_view piece, std::vector<std::int32_t>& symbols) const {
  bool pending = false;  // an unknown character whose token is not appended yet
  const auto append_pending = [&] {
    if (pending) symbols.push_back(unknown_);
    pending = false;
  };
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t bytes = code_point_at(piece, at).bytes;
    const std::int32_t id = character_id(piece, at, bytes);
    std::string character(piece.substr(at, bytes));
    if (id >= 0) {
      append_pending();
      symbols.push_back(id);
    } else if (has_fallback_) {
      // What falls back includes the prefix and the suffix.
      if (at > 0) character.insert(0, options_.inner_prefix);
      if (at + bytes == piece.size()) character += options_.end_suffix;
      if (!fall_back(character, symbols) && unknown_ >= 0) {
        if (!options_.fuse_unknown) append_pending();
        pending = true;
      }
    } else if (unknown_ >= 0) {
      if (!options_.fuse_unknown) append_pending();
      pending = true;
    }
    at += bytes;
  }
  append_pending();
}

bool Bpe::separates(char32_t before, char32_t after) const {
  if (options_.bytes || options_.ignore_merges || !options_.inner_prefix.empty() ||
      !options_.end_suffix.empty() || (options_.fuse_unknown && unknown_ >= 0)) {
    return false;
  }
  return !std::binary_search(neighbours_.begin(), neighbours_.end(), pair_of(before, after));
}

void add_merge(PairTable& merges, const Vocabulary& vocabulary, std::string_view left,
               std::string_view right, std::string_view merged, const std::string& where) {
  const auto id_of = [&](std::string_view token) {
    const auto id = vocabulary.id_of(token);
    TRM_REQUIRE(id.has_value(), "{}: the merge \"{} {}\" needs \"{}\", which is no token",
                where, shortened(left, 40), shortened(right, 40), shortened(token, 80));
    return *id;
  };
  const std::int32_t a = id_of(left);
  const std::int32_t b = id_of(right);
  const auto rank = static_cast<std::uint32_t>(merges.count());
  TRM_REQUIRE(merges.add(a, b, {rank, id_of(merged)}), "{}: the merge \"{} {}\" stands twice",
              where, shortened(left, 40), shortened(right, 40));
}

namespace {

/// tiktoken's own rule, on bytes: the two neighbours whose bytes are the token of lowest id
/// merge first. Returns the pair that makes `token` at last, or nothing.
std::optional<std::pair<std::int32_t, std::int32_t>> last_pair(const Vocabulary& vocabulary,
                                                               const std::string& token,
                                                               std::int32_t last) {
  std::vector<std::size_t> begins(token.size() + 1);
  for (std::size_t i = 0; i < begins.size(); ++i) begins[i] = i;
  const std::string_view text = token;
  const auto id_between = [&](std::size_t i, std::size_t j) {
    const auto id = vocabulary.id_of(text.substr(begins[i], begins[j] - begins[i]));
    return id && *id <= last ? *id : -1;
  };
  std::vector<std::int32_t> pairs;  // the token that a part and the next make, or −1
  for (std::size_t i = 0; i + 2 < begins.size(); ++i) pairs.push_back(id_between(i, i + 2));
  while (pairs.size() > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < pairs.size(); ++i) {
      if (pairs[i] >= 0 && (pairs[best] < 0 || pairs[i] < pairs[best])) best = i;
    }
    if (pairs[best] < 0) return std::nullopt;
    begins.erase(begins.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(best));
    if (best < pairs.size()) pairs[best] = id_between(best, best + 2);
    if (best > 0) pairs[best - 1] = id_between(best - 1, best + 1);
  }
  const std::int32_t left = id_between(0, 1);
  const std::int32_t right = id_between(1, 2);
  if (left < 0 || right < 0) return std::nullopt;
  return std::pair(left, right);
}

}  // namespace

PairTable merges_by_rank(const Vocabulary& vocabulary, std::int32_t last) {
  PairTable merges(static_cast<std::size_t>(vocabulary.count()));
  std::vector<std::int32_t> symbols;
  for (std::int32_t id = 0; id <= last && id < vocabulary.size(); ++id) {
    const std::string& token = vocabulary.token_of(id);
    if (token.size() < 2) continue;
    // Whatever stands around a token's bytes, its parts merge as they do alone. So exactly one
    // pair makes the token: the two symbols that earlier merges leave.
    symbols.clear();
    for (const char c : token) {
      symbols.push_back(vocabulary.id_of(std::string_view(&c, 1)).value_or(-1));
    }
    merge_all(merges, symbols);
    std::optional<std::pair<std::int32_t, std::int32_t>> pair;
    if (symbols.size() == 2) pair = {symbols[0], symbols[1]};
    // A part may have a larger id than the whole; then only tiktoken's rule tells.
    if (symbols.size() != 2) pair = last_pair(vocabulary, token, last);
    if (pair) merges.add(pair->first, pair->second, {static_cast<std::uint32_t>(id), id});
  }
  return merges;
}

}  // namespace trireme
