// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding: a piece begins as single characters or bytes, whose neighbours merge in
// the order of ranks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model.hpp"
#include "pair_table.hpp"
#include "vocabulary.hpp"

namespace trireme {

/// Fields of a BPE model in tokenizer.json.
struct BpeOptions {
  std::string unknown{};       ///< unk_token; "": characters without a token are left out
  std::string inner_prefix{};  ///< continuing_subword_prefix
  std::string end_suffix{};    ///< end_of_word_suffix
  bool fuse_unknown = false;   ///< fuse_unk
  bool byte_fallback = false;  ///< tokens <0x00> to <0xFF> stand for unknown characters
  bool ignore_merges = false;  ///< a piece that is a token is that token
  bool bytes = false;          ///< tokens hold raw bytes, and pieces begin as single bytes
};

class Bpe : public Model {
 public:
  /// Throws Error that begins with `where` if a token that the options name is missing.
  Bpe(Vocabulary vocabulary, PairTable merges, BpeOptions options, const std::string& where);

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override;
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const override {
    return vocabulary_.id_of(token);
  }
  [[nodiscard]] std::string token_of(std::int32_t id) const override {
    return vocabulary_.token_of(id);
  }
  [[nodiscard]] std::int64_t size() const override { return vocabulary_.size(); }
  [[nodiscard]] bool separates(char32_t before, char32_t after) const override;

 private:
  void merge_short(std::string_view piece, std::vector<std::int32_t>& ids) const;
  void merge(std::string_view piece, std::vector<std::int32_t>& ids) const;
  void index_bytes();
  void find_wholes();
  void split_bytes(std::string_view piece, std::vector<std::int32_t>& symbols) const;
  void split_characters(std::string_view piece, std::vector<std::int32_t>& symbols) const;
  [[nodiscard]] std::int32_t character_id(std::string_view piece, std::size_t at,
                                          std::size_t bytes) const;
  bool fall_back(std::string_view character, std::vector<std::int32_t>& symbols) const;

  Vocabulary vocabulary_;
  PairTable merges_;
  BpeOptions options_;
  std::int32_t unknown_ = -1;
  std::array<std::int32_t, 256> byte_ids_{};  ///< −1: no token
  bool has_fallback_ = false;
  std::vector<Merge> byte_pairs_;  ///< indexed by both bytes; empty: search
  /// With ignore_merges: the tokens that merging their bytes does not give.
  std::unordered_map<std::string_view, std::int32_t> wholes_;
  std::vector<std::uint64_t> neighbours_;  ///< pairs of code points within tokens, sorted
};

/// The merges of a vocabulary whose tokens merge in the order of their ids, as tiktoken's do.
/// The largest id that takes part is `last`. Tokens are raw bytes.
[[nodiscard]] PairTable merges_by_rank(const Vocabulary& vocabulary, std::int32_t last);

/// Adds the merge of two tokens. Throws Error that begins with `where` if either or what they
/// merge into is no token, or if the pair has a merge.
void add_merge(PairTable& merges, const Vocabulary& vocabulary, std::string_view left,
               std::string_view right, std::string_view merged, const std::string& where);

}  // namespace trireme
