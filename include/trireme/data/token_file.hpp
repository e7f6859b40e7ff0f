// SPDX-License-Identifier: Apache-2.0
// Token files. Dataset /tokens, 1-D uint16 or uint32 (by vocabulary), holds all documents end
// to end, each closed by the end-of-document id. Dataset /documents, 1-D uint64, holds the
// offset of each document in /tokens and, last, the number of tokens. Attributes: format,
// format_version, vocab_size, end_of_document, tokenizer, tokenizer_definition, source_hash.
//
// Datasets /checksums/tokens and /checksums/documents, int64, hold the XXH3 checksum of each
// block of those arrays; their attribute `block` is a block's elements. The file's first bytes
// are a seal over all other bytes but the two arrays. Version 1 has neither seal nor checksums.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "trireme/core/replacement.hpp"
#include "trireme/data/token_source.hpp"
#include "trireme/h5/file.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

inline constexpr std::int64_t kTokenChunk = 1 << 16;
inline constexpr std::int64_t kTokenFormatVersion = 2;

/// A token file for reading. All contents are checked: throws Error that names the file where
/// they do not fit together, or where bytes do not have their checksum. A file of version 1 has
/// no checksums, and a warning says so if `check` is `all`.
class TokenFile : public TokenSource {
 public:
  explicit TokenFile(const std::string& path, DocumentCheck check = DocumentCheck::all);

  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] std::string format() const override { return "token file"; }
  [[nodiscard]] std::int64_t tokens() const override { return tokens_; }
  [[nodiscard]] std::int64_t documents() const override { return documents_; }
  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }
  [[nodiscard]] std::int32_t end_of_document() const override { return end_of_document_; }
  [[nodiscard]] const std::string& tokenizer_kind() const override { return tokenizer_kind_; }
  [[nodiscard]] const std::string& tokenizer_definition() const override {
    return tokenizer_definition_;
  }
  [[nodiscard]] const std::string& source_hash() const override { return source_hash_; }
  [[nodiscard]] std::int64_t version() const { return version_; }  ///< the format's
  [[nodiscard]] std::int64_t token_bytes() const override { return wide() ? 4 : 2; }
  [[nodiscard]] bool wide() const { return tokens_in_.data.dtype() == DType::u32; }

  /// The token at which document i starts; document_start(documents()) is the end of the last
  /// document.
  [[nodiscard]] std::int64_t document_start(std::int64_t i) const override;
  /// Reads tokens from `offset` on. Throws Error that names position and id if a token is not
  /// in the vocabulary.
  void read(std::int64_t offset, std::span<std::int32_t> to) const override;
  /// Reads and checks all tokens and documents. Calls `progress` with the bytes of each part.
  void verify(const std::function<void(std::int64_t bytes)>& progress) const override;

 private:
  /// A 1-D array, whose blocks have checksums from format version 2 on.
  struct Array {
    h5::Dataset data;
    std::int64_t block = 0;  ///< elements
    std::vector<std::int64_t> checksums;
    /// Reads elements of the array's type, and checks the blocks around them.
    void read(std::int64_t offset, const View& to) const;
  };
  /// Throws Error unless the dataset has one axis and its checksums fit.
  [[nodiscard]] Array open_array(const std::string& name, std::int64_t cache_bytes) const;
  void read_attributes();
  void check_documents(const std::function<void(std::int64_t bytes)>& progress) const;

  std::string path_;
  std::int64_t version_ = 0;
  h5::File file_;
  Array tokens_in_;
  Array documents_in_;
  std::int64_t tokens_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t vocab_size_ = 0;
  std::int32_t end_of_document_ = 0;
  std::string tokenizer_kind_;
  std::string tokenizer_definition_;
  std::string source_hash_;
};

/// Writes a token file as `PATH.tmp` and renames it in finish(). PATH is never incomplete, and
/// without finish() no file remains. Memory use is constant, but for a checksum a block. The
/// file's bytes depend only on tokens and documents, not on the pieces in which they came.
class TokenFileWriter {
 public:
  /// Throws Error if the file cannot be created there.
  TokenFileWriter(const std::string& path, const Tokenizer& tokenizer);
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  /// Appends tokens to the current document.
  void append(std::span<const std::int32_t> tokens);
  /// Closes the current document. An empty document is not written, but counted in dropped().
  void end_document();
  [[nodiscard]] bool document_empty() const { return document_tokens_ == 0; }
  /// Throws Error if there is no token at all. Replaces an existing file atomically.
  void finish(const std::string& source_hash);

  [[nodiscard]] std::int64_t tokens() const { return tokens_; }  ///< ends of documents included
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
  std::vector<std::int64_t> token_checksums_;
  std::vector<std::int64_t> document_checksums_;
  std::int64_t tokens_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t dropped_ = 0;
  std::int64_t document_tokens_ = 0;
};

}  // namespace trireme
