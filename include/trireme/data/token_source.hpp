// SPDX-License-Identifier: Apache-2.0
// TokenSource: a file of documents of tokens in any format that is read where it lies. Formats
// are token files of Trireme, Megatron's and GPT-NeoX's PREFIX.bin with PREFIX.idx, and the
// shards of llm.c.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trireme/core/shape.hpp"

namespace trireme {

/// How much of the documents' offsets to check on opening. One rank of a job checks `all`; the
/// other ranks check `none`, which spares the file system. Every read is checked in any case.
enum class DocumentCheck : std::uint8_t { all, none };

/// What a deck says of data whose files don't say it. A file that does say it is right.
struct TokenFacts {
  std::int64_t vocab_size = 0;        ///< 0: unknown
  std::int32_t end_of_document = -1;  ///< −1: unknown
};

/// A file of tokens, open for reading. Threads may share it.
class TokenSource {
 public:
  TokenSource() = default;
  virtual ~TokenSource() = default;
  TokenSource(const TokenSource&) = delete;
  TokenSource& operator=(const TokenSource&) = delete;

  /// The path by which the user names it.
  [[nodiscard]] virtual const std::string& path() const = 0;
  [[nodiscard]] virtual std::string format() const = 0;  ///< in words: "Megatron's .bin/.idx"
  [[nodiscard]] virtual std::int64_t tokens() const = 0;
  [[nodiscard]] virtual std::int64_t documents() const = 0;
  [[nodiscard]] virtual std::int64_t token_bytes() const = 0;  ///< a token's, in the file
  /// The number of ids; 0 if neither the file nor the deck says it.
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;
  /// The id that ends documents; −1 if neither the file nor the deck says it.
  [[nodiscard]] virtual std::int32_t end_of_document() const = 0;
  /// Empty where the file has no tokenizer.
  [[nodiscard]] virtual const std::string& tokenizer_kind() const = 0;
  [[nodiscard]] virtual const std::string& tokenizer_definition() const = 0;
  /// Tells files of other content apart.
  [[nodiscard]] virtual const std::string& source_hash() const = 0;

  /// The token at which document i starts; document_start(documents()) is the end of the last
  /// document.
  [[nodiscard]] virtual std::int64_t document_start(std::int64_t i) const = 0;
  /// Reads tokens from `offset` on. Throws Error that names position and id if a token is not
  /// in the vocabulary.
  virtual void read(std::int64_t offset, std::span<std::int32_t> to) const = 0;
  /// Whether read_loss_mask() may find tokens that don't count.
  [[nodiscard]] virtual bool has_loss_mask() const { return false; }
  /// 1 for each token from `offset` on that counts as a target, else 0.
  virtual void read_loss_mask(std::int64_t offset, std::span<std::uint8_t> to) const;
  /// Bytes of an image, where documents are images followed by their class; 0: they are text.
  [[nodiscard]] virtual std::int64_t pixels() const { return 0; }
  /// The extents of an image, such as [28, 28].
  [[nodiscard]] virtual Shape image_shape() const { return {}; }
  /// The names of classes, where the file has them.
  [[nodiscard]] virtual const std::vector<std::string>& class_names() const {
    static const std::vector<std::string> none;
    return none;
  }
  /// Reads and checks all tokens and documents. Calls `progress` with the bytes of each part.
  virtual void verify(const std::function<void(std::int64_t bytes)>& progress) const = 0;
};

/// Throws Error that names position and id if an id is not within 0 to vocab_size − 1. With
/// vocab_size 0, ids need only be 0 or more.
void require_vocabulary(const std::string& path, std::int64_t offset,
                        std::span<const std::int32_t> ids, std::int64_t vocab_size);

/// Opens data of any format, images with classes too. `path` is a file, or PREFIX of PREFIX.bin
/// and PREFIX.idx. The content decides, and not the name. Throws Error that says what stands
/// there instead.
[[nodiscard]] std::unique_ptr<TokenSource> open_tokens(const std::string& path,
                                                       DocumentCheck check,
                                                       const TokenFacts& given = {});

/// Whether open_tokens() would find a file.
[[nodiscard]] bool tokens_exist(const std::string& path);

}  // namespace trireme
