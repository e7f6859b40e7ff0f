// SPDX-License-Identifier: Apache-2.0
// WordPiece: the longest token that begins a word, then the longest that continues it.
// WordLevel: a word is a token.
#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "part_fields.hpp"
#include "table_model.hpp"

namespace trireme {

using nlohmann::json;

namespace {

/// The token that stands for what the vocabulary lacks. Like the peers, only its first use
/// needs the token.
class UnknownToken {
 public:
  UnknownToken(std::string name, const TokenTable& vocabulary)
      : name_(std::move(name)), id_(vocabulary.id_of(name_)) {}
  [[nodiscard]] std::int32_t instead_of(std::string_view piece) const {
    TRM_REQUIRE(id_ >= 0,
                "\"{}\" is not in the vocabulary, and neither is the unk_token \"{}\" that "
                "would stand for it",
                piece, name_);
    return id_;
  }

 private:
  std::string name_;
  std::int32_t id_;
};

class WordPiece final : public TableModel {
 public:
  explicit WordPiece(const Fields& fields)
      : TableModel({fields.object("vocab"), fields.where("vocab")}),
        unknown_(fields.text("unk_token"), table()),
        within_(trie().find(fields.text("continuing_subword_prefix"))),
        longest_(fields.whole_number("max_input_chars_per_word")) {}

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    const std::size_t before = ids.size();
    bool known = count_code_points(piece) <= longest_;
    for (std::size_t at = 0; known && at < piece.size();) {
      const auto [id, end] = longest_token(piece, at);
      known = id >= 0;
      if (known) ids.push_back(id);
      at = end;
    }
    if (known) return;
    ids.resize(before);
    ids.push_back(unknown_.instead_of(piece));
  }

 private:
  struct Token {
    std::int32_t id;
    std::size_t end;
  };
  [[nodiscard]] Token longest_token(std::string_view piece, std::size_t at) const {
    Token found{-1, at};
    std::uint32_t node = at == 0 ? Trie::kRoot : within_;
    while (node != Trie::kNone && at < piece.size()) {
      node = trie().next(node, piece[at++]);
      if (node != Trie::kNone && trie().value(node) >= 0) found = {trie().value(node), at};
    }
    return found;
  }

  UnknownToken unknown_;
  std::uint32_t within_;  // where the tokens that continue a word begin
  std::int64_t longest_;  // in code points; a longer word is unknown
};

class WordLevel final : public TableModel {
 public:
  explicit WordLevel(const Fields& fields)
      : TableModel({fields.object("vocab"), fields.where("vocab")}),
        unknown_(fields.text("unk_token"), table()) {}

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    const std::int32_t id = trie().value_of(piece);
    ids.push_back(id >= 0 ? id : unknown_.instead_of(piece));
  }

 private:
  UnknownToken unknown_;
};

}  // namespace

std::unique_ptr<Model> make_word_piece(const json& spec, const std::string& where) {
  return std::make_unique<WordPiece>(
      Fields(spec, where,
             {"vocab", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"}));
}

std::unique_ptr<Model> make_word_level(const json& spec, const std::string& where) {
  return std::make_unique<WordLevel>(Fields(spec, where, {"vocab", "unk_token"}));
}

}  // namespace trireme
