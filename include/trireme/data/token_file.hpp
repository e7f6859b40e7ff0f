// SPDX-License-Identifier: Apache-2.0
// Token files: /tokens, 1-D uint16 or uint32 (by vocabulary), all documents end to end, each
// closed by the end-of-document id; /documents, uint64 offsets into it, one more than there are
// documents, from 0 to the number of tokens. Attributes: format, format_version, vocab_size,
// end_of_document, tokenizer, tokenizer_definition, source_hash.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trireme/core/replacement.hpp"
#include "trireme/data/tokenizer.hpp"
#include "trireme/h5/file.hpp"

namespace trireme {

inline constexpr std::int64_t kTokenChunk = 1 << 16;
inline constexpr std::int64_t kTokenFormatVersion = 1;

/// How much of /documents to look at on opening: `all` of it, by one rank; the others of a
/// large job leave the file system in peace, and reads are checked in any case.
enum class DocumentCheck : std::uint8_t { all, none };

/// A token file for reading. Nothing in it is trusted: what does not fit together is an Error
/// that names the file.
class TokenFile {
 public:
  explicit TokenFile(const std::string& path, DocumentCheck check = DocumentCheck::all);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::int64_t tokens() const { return tokens_; }
  [[nodiscard]] std::int64_t documents() const { return documents_; }
  [[nodiscard]] std::int64_t vocab_size() const { return vocab_size_; }
  [[nodiscard]] std::int32_t end_of_document() const { return end_of_document_; }
  [[nodiscard]] const std::string& tokenizer_kind() const { return tokenizer_kind_; }
  [[nodiscard]] const std::string& tokenizer_definition() const {
    return tokenizer_definition_;
  }
  [[nodiscard]] const std::string& source_hash() const { return source_hash_; }

  /// Where document i starts; documents() gives the end of the last.
  [[nodiscard]] std::int64_t document_start(std::int64_t i) const;
  /// Tokens from `offset` on. Throws Error naming position and id if one is not in the
  /// vocabulary.
  void read(std::int64_t offset, std::span<std::int32_t> to) const;

 private:
  void read_attributes();
  void check_documents() const;

  std::string path_;
  h5::File file_;
  h5::Dataset token_data_;
  h5::Dataset document_data_;
  std::int64_t tokens_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t vocab_size_ = 0;
  std::int32_t end_of_document_ = 0;
  std::string tokenizer_kind_;
  std::string tokenizer_definition_;
  std::string source_hash_;
};

/// Writes a token file under `PATH.tmp` and renames it when finished, so that there is never
/// half of one; without finish() nothing remains. Memory use is constant, and the bytes of the
/// file depend only on tokens and documents, not on the pieces they came in.
class TokenFileWriter {
 public:
  /// Throws Error if the file cannot be created there.
  TokenFileWriter(const std::string& path, const Tokenizer& tokenizer);
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  /// More of the current document.
  void append(std::span<const std::int32_t> tokens);
  /// Closes the current document. One without a token is not written, only counted.
  void end_document();
  [[nodiscard]] bool document_empty() const { return document_tokens_ == 0; }
  /// Throws Error if there is no token at all. Replaces an existing file at once.
  void finish(const std::string& source_hash);

  [[nodiscard]] std::int64_t tokens() const { return tokens_; }  ///< with ends of documents
  [[nodiscard]] std::int64_t documents() const { return documents_; }
  [[nodiscard]] std::int64_t dropped() const { return dropped_; }

 private:
  void flush_tokens();
  void flush_documents();

  std::string path_;
  Replacement replacement_;  ///< before the file: that is closed first
  std::int32_t end_of_document_;
  h5::File file_;
  h5::Dataset token_data_;
  h5::Dataset document_data_;
  bool wide_;
  std::vector<std::int32_t> token_buffer_;
  std::vector<std::uint16_t> narrow_buffer_;
  std::vector<std::uint64_t> document_buffer_;
  std::int64_t tokens_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t dropped_ = 0;
  std::int64_t document_tokens_ = 0;
};

}  // namespace trireme
