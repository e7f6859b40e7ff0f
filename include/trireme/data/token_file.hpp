// SPDX-License-Identifier: Apache-2.0
// Token files. Dataset /tokens, 1-D uint16 or uint32 (by vocabulary), holds all documents end
// to end. The end-of-document id closes each, unless `prepare --no-append-eod` wrote the file.
// Dataset /documents, 1-D uint64, holds the offset of each document in /tokens and, last, the
// number of tokens. Attributes: format, format_version, vocab_size, end_of_document, tokenizer,
// tokenizer_definition, source_hash.
//
// Format version 3 adds what a reader of version 2 must not pass over. Other files keep version
// 2. Attribute `kind` says what a document is:
//   text      a text of its own; also where the attribute is missing
//   chat      a conversation, in the form of a chat template
//   pairs     documents 2·i and 2·i + 1 hold one prompt, with the chosen and the rejected
//   answer labelled  a text with a label
// Dataset /loss_mask, 1-D uint8, has an entry for each token: 1 if the token counts as a
// target, else 0. Without the dataset, every token counts. Dataset /labels, 1-D float64, has an
// entry for each document of kind `labelled`. If the labels were words, /label_names lists the
// words, and a label is the number of its word there.
//
// Datasets /checksums/NAME, int64, hold the XXH3 checksum of each block of the arrays tokens,
// documents, loss_mask and labels; their attribute `block` is a block's elements. The file's
// first bytes are a seal over all other bytes but these arrays. Version 1 has neither seal nor
// checksums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trireme/core/replacement.hpp"
#include "trireme/data/token_source.hpp"
#include "trireme/h5/file.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

inline constexpr std::int64_t kTokenChunk = 1 << 16;
inline constexpr std::int64_t kTokenFormatVersion = 3;  ///< the newest
/// Token files that a process holds open. Others are opened again when they are read.
inline constexpr std::size_t kMostOpenTokenFiles = 32;

struct OpenTokenFile;

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
    return *tokenizer_definition_;
  }
  [[nodiscard]] const std::string& source_hash() const override { return source_hash_; }
  [[nodiscard]] std::int64_t version() const { return version_; }  ///< the format's
  [[nodiscard]] std::int64_t token_bytes() const override { return wide() ? 4 : 2; }
  [[nodiscard]] bool wide() const { return tokens_in_.dtype == DType::u32; }

  /// The token at which document i starts; document_start(documents()) is the end of the last
  /// document.
  [[nodiscard]] std::int64_t document_start(std::int64_t i) const override;
  /// Reads tokens from `offset` on. Throws Error that names position and id if a token is not
  /// in the vocabulary.
  void read(std::int64_t offset, std::span<std::int32_t> to) const override;
  /// The `kind` of the documents: text, chat, pairs or labelled.
  [[nodiscard]] const std::string& kind() const { return kind_; }
  [[nodiscard]] bool has_loss_mask() const override { return has_loss_mask_; }
  [[nodiscard]] bool has_labels() const { return has_labels_; }
  /// Reads which tokens count as targets, from token `offset` on: 1 or 0 for each token. Sets
  /// all to 1 if the file has no loss mask. Throws Error that names a value other than 0 and 1.
  void read_loss_mask(std::int64_t offset, std::span<std::uint8_t> to) const override;
  [[nodiscard]] const std::vector<std::string>& class_names() const override {
    return label_names_;
  }
  /// Reads labels from that of document `first` on. Throws Error if the file has none.
  void read_labels(std::int64_t first, std::span<double> to) const;
  /// Reads and checks all tokens, documents and what stands beside them. Calls `progress` with
  /// the bytes of each part.
  void verify(const std::function<void(std::int64_t bytes)>& progress) const override;

 private:
  /// A 1-D array, whose blocks have checksums from format version 2 on.
  struct Array {
    h5::Dataset OpenTokenFile::*data = nullptr;
    std::string name;
    std::string where;  ///< the name in errors
    DType dtype = DType::u16;
    std::int64_t count = 0;  ///< elements
    std::int64_t block = 0;  ///< elements that one checksum covers
    std::vector<std::int64_t> checksums;
  };
  using Opened = std::shared_ptr<const OpenTokenFile>;
  /// Closes the file at the end of its owner, and where the constructor throws.
  struct Registration {
    const TokenFile* owner;
    ~Registration();
  };
  /// Opens the file and checks its seal.
  [[nodiscard]] std::shared_ptr<OpenTokenFile> open_file();
  /// The open file, opened again if the process closed it. Throws Error if the file changed.
  [[nodiscard]] Opened opened() const;
  [[nodiscard]] Opened open_again() const;
  /// Throws Error unless the dataset has one axis and its checksums fit.
  [[nodiscard]] Array open_array(OpenTokenFile& file, const std::string& name,
                                 h5::Dataset OpenTokenFile::*data) const;
  /// Reads elements of the array's type, and checks the blocks around them.
  void read_array(const Array& array, std::int64_t offset, const View& to) const;
  void read_attributes(const h5::File& file);
  void open_companions(OpenTokenFile& file);
  void check_documents(const std::function<void(std::int64_t bytes)>& progress) const;

  Registration registration_{this};
  std::string path_;
  std::int64_t version_ = 0;
  Array tokens_in_;
  Array documents_in_;
  Array loss_mask_in_;
  Array labels_in_;
  bool has_loss_mask_ = false;
  bool has_labels_ = false;
  std::vector<std::string> label_names_;
  std::string kind_;
  std::int64_t tokens_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t vocab_size_ = 0;
  std::int32_t end_of_document_ = 0;
  std::string tokenizer_kind_;
  std::shared_ptr<const std::string> tokenizer_definition_;  ///< shared by equal files
  std::string source_hash_;
};

/// Takes the documents of a data set, one after another.
class DocumentSink {
 public:
  DocumentSink() = default;
  virtual ~DocumentSink() = default;
  DocumentSink(const DocumentSink&) = delete;
  DocumentSink& operator=(const DocumentSink&) = delete;

  /// Appends tokens to the current document. `mask` has an entry for each token, or none if
  /// all of them count as targets.
  virtual void append(std::span<const std::int32_t> tokens,
                      std::span<const std::uint8_t> mask = {}) = 0;
  /// Closes the current document; an empty one is left out. `end_counts`: whether the
  /// end-of-document token counts as a target. `label` is that of a labelled document.
  virtual void end_document(bool end_counts = true, double label = 0) = 0;
  /// Forgets the tokens of the current document.
  virtual void drop_document() = 0;
  /// Tokens in the current document.
  [[nodiscard]] virtual std::int64_t document_tokens() const = 0;
};

/// What a token file has besides tokens and documents.
struct TokenFileFormat {
  std::string kind = "text";  ///< text, chat, pairs or labelled
  bool loss_mask = false;
  bool append_end = true;  ///< the end-of-document id closes each document
};

/// Writes a token file as `PATH.tmp` and renames it in finish(). PATH is never incomplete, and
/// without finish() no file remains. Memory use is constant, but for a checksum a block. The
/// file's bytes depend only on tokens and documents, not on the pieces in which they came.
class TokenFileWriter : public DocumentSink {
 public:
  /// Throws Error if the file cannot be created there.
  TokenFileWriter(const std::string& path, const Tokenizer& tokenizer,
                  TokenFileFormat format = {});

  void append(std::span<const std::int32_t> tokens,
              std::span<const std::uint8_t> mask = {}) override;
  void end_document(bool end_counts = true, double label = 0) override;
  void drop_document() override;
  [[nodiscard]] std::int64_t document_tokens() const override { return document_tokens_; }
  /// Throws Error if there is no token at all. Replaces an existing file atomically.
  void finish(const std::string& source_hash, const std::vector<std::string>& label_names = {});

  [[nodiscard]] std::int64_t tokens() const { return tokens_; }  ///< ends of documents included
  [[nodiscard]] std::int64_t documents() const { return documents_; }
  [[nodiscard]] std::int64_t dropped() const { return dropped_; }  ///< empty documents
  [[nodiscard]] const TokenFileFormat& format() const { return format_; }

 private:
  void flush_tokens();
  void flush_documents();
  void flush_labels();

  std::string path_;
  TokenFileFormat format_;
  std::int64_t version_;
  Replacement replacement_;  ///< before the file: that is closed first
  std::int32_t end_of_document_;
  h5::File file_;
  h5::Dataset token_data_;
  h5::Dataset document_data_;
  h5::Dataset mask_data_;
  h5::Dataset label_data_;
  bool wide_;
  std::vector<std::int32_t> token_buffer_;
  std::vector<std::uint16_t> narrow_buffer_;
  std::vector<std::uint8_t> mask_buffer_;
  std::vector<std::uint64_t> document_buffer_;
  std::vector<double> label_buffer_;
  std::vector<std::int64_t> token_checksums_;
  std::vector<std::int64_t> mask_checksums_;
  std::vector<std::int64_t> document_checksums_;
  std::vector<std::int64_t> label_checksums_;
  std::int64_t tokens_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t dropped_ = 0;
  std::int64_t document_tokens_ = 0;
};

}  // namespace trireme
