// SPDX-License-Identifier: Apache-2.0
// Pipeline: the tokenizer that a file's parts make. Added tokens are found first; then text is
// normalised, split into words, and each word encoded by the model.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "trireme/tokenizer/tokenizer.hpp"

#include "added_tokens.hpp"
#include "decoder.hpp"
#include "model.hpp"
#include "normalizer.hpp"
#include "post_processor.hpp"
#include "pre_tokenizer.hpp"
#include "scanner.hpp"

namespace trireme {

/// What a file says. Parts that it leaves out are null.
struct PipelineParts {
  std::string kind{};
  std::string definition{};
  std::string where{};  ///< how errors name the file
  std::vector<AddedToken> added{};
  bool finds_added = true;  ///< whether text that spells an added token is that token
  std::unique_ptr<Normalizer> normalizer{};
  std::unique_ptr<PreTokenizer> pre_tokenizer{};
  std::unique_ptr<Scanner> scanner{};  ///< in place of a pre-tokenizer that changes no text
  std::unique_ptr<Model> model{};
  bool model_takes_bytes = false;  ///< tokens are raw bytes
  std::unique_ptr<PostProcessor> post_processor{};
  std::unique_ptr<Decoder> decoder{};
  std::int32_t end_of_document = 0;
  std::int64_t vocab_size = 0;  ///< at least all ids of model and added tokens; 0: just these
};

class Pipeline : public Tokenizer {
 public:
  /// Throws Error if an added token is nothing once it is normalised.
  explicit Pipeline(PipelineParts parts);
  ~Pipeline() override;
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  [[nodiscard]] std::string kind() const override { return parts_.kind; }
  [[nodiscard]] std::string definition() const override { return parts_.definition; }
  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }
  [[nodiscard]] std::int32_t end_of_document() const override { return parts_.end_of_document; }
  void encode_part(std::string_view text, TextPart part,
                   std::vector<std::int32_t>& to) const override;
  [[nodiscard]] Surroundings surroundings() const override;
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const override;
  [[nodiscard]] std::size_t split_point(std::string_view text) const override;
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const override;

 private:
  struct Workspace;
  class Lease;
  [[nodiscard]] bool separates(char32_t before, char32_t after) const;
  [[nodiscard]] bool strips_between(char32_t before, char32_t after) const;
  void encode_at_once(std::string_view text, TextPart part, Workspace& work) const;
  void encode_section(std::string_view text, const Section& section, Workspace& work) const;
  void encode_words(std::string_view text, Workspace& work) const;
  void encode_run(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
                  Workspace& work) const;
  /// A word that has no ids in the cache, unless `kept` says that it may be a long entry.
  void encode_rare(std::string_view word, bool kept, Workspace& work) const;

  PipelineParts parts_;
  std::int64_t vocab_size_ = 0;
  TokenFinder raw_;         ///< added tokens looked for in the text as it is
  TokenFinder normalized_;  ///< and in normalised text
  std::vector<const AddedToken*> added_by_id_;
  bool keeps_bytes_ = false;           ///< needs no UTF-8
  std::vector<bool> ascii_separates_;  ///< separates() by both characters, if these are ASCII
  bool splits_ = false;                ///< whether text can be split anywhere
  bool has_lstrip_ = false;
  bool has_rstrip_ = false;
  /// Workspaces that no thread uses now. Each grows with what it has met.
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace trireme
