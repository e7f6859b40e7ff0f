// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizers Split, ByteLevel and Sequence.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pattern.hpp"
#include "pre_tokenizer.hpp"
#include "scanner.hpp"

namespace trireme {

/// What happens to the text that a pattern finds.
enum class SplitBehavior : std::uint8_t {
  removed,
  isolated,              ///< is a piece of its own
  merged_with_previous,  ///< ends the piece before it
  merged_with_next,      ///< begins the piece behind it
  contiguous,            ///< is one piece with what is found right behind it
};

/// A stretch of text, and whether a pattern found it.
struct Stretch {
  std::size_t begin;
  std::size_t end;
  bool found;
};

class Split : public PreTokenizer {
 public:
  /// Isolates what the expression finds. In the flavour `rust`, other text is removed, as
  /// tiktoken does.
  Split(std::string_view expression, Flavour flavour, const std::string& where);
  /// Throws Error that begins with `where`.
  Split(const nlohmann::json& spec, const std::string& where);
  void split(Pieces& pieces) const override;
  [[nodiscard]] bool separates(char32_t before, char32_t after) const override;
  /// Whether the pieces are exactly the words of a published pattern.
  [[nodiscard]] bool is_scan() const;
  [[nodiscard]] const std::string& expression() const { return expression_; }

 private:
  void find(std::string_view text, std::vector<Stretch>& stretches) const;

  std::string expression_;  ///< or, if pattern_ is null, the text to find
  SplitBehavior behavior_ = SplitBehavior::isolated;
  bool invert_ = false;
  std::unique_ptr<Pattern> pattern_;
  std::unique_ptr<Scanner> scanner_;
};

/// Splits by GPT-2's pattern, and writes the bytes of each piece in GPT-2's alphabet.
class ByteLevel : public PreTokenizer {
 public:
  /// If `keep_bytes`, pieces stay as they are, for a model whose tokens are raw bytes.
  ByteLevel(const nlohmann::json& spec, bool keep_bytes, const std::string& where);
  void split(Pieces& pieces) const override;
  [[nodiscard]] bool separates(char32_t before, char32_t after) const override;
  [[nodiscard]] bool adds_space() const { return adds_space_; }
  [[nodiscard]] bool has_pattern() const { return pattern_ != nullptr; }

 private:
  bool adds_space_ = true;
  bool keep_bytes_ = false;
  std::unique_ptr<Split> pattern_;
};

class SequenceOfSplits : public PreTokenizer {
 public:
  explicit SequenceOfSplits(std::vector<std::unique_ptr<PreTokenizer>> members)
      : members_(std::move(members)) {}
  void split(Pieces& pieces) const override {
    for (const auto& member : members_) member->split(pieces);
  }
  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    // Later members see the pieces of the first by themselves.
    return !members_.empty() && members_.front()->separates(before, after);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> members_;
};

/// The specs of the members of a pre-tokenizer in order, however deep sequences are nested.
[[nodiscard]] std::vector<nlohmann::json> members_of(const nlohmann::json& spec,
                                                     const std::string& where);

}  // namespace trireme
