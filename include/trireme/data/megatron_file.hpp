// SPDX-License-Identifier: Apache-2.0
// Indexed data of Megatron-LM and GPT-NeoX (data_impl: mmap), little-endian. PREFIX.bin is the
// tokens, one document after another. PREFIX.idx has a header and three arrays. The header is
// "MMIDIDX" and two zeros, u64 version 1, u8 type code, u64 S, u64 D. S counts sequences. The
// arrays are sizes in tokens, i32 [S], first bytes, i64 [S], and the document index, i64 [D].
#pragma once

#include "trireme/core/replacement.hpp"
#include "trireme/data/token_source.hpp"

namespace trireme {

class BinaryFile;

/// What PREFIX.idx says in its first bytes.
struct MegatronHeader {
  std::uint8_t code = 0;   ///< type of a token
  std::int64_t width = 0;  ///< its bytes
  std::int64_t sequences = 0;
  std::int64_t document_index = 0;  ///< D
};

/// PREFIX.bin and PREFIX.idx for reading. A document is a sequence, as in Megatron's and
/// NeoX's GPT data. Sequences must follow each other without a gap, as all known writers lay
/// them out.
class MegatronFile : public TokenSource {
 public:
  /// Throws Error that names what is wrong, before any of it is used. Refuses sizes of the two
  /// files that don't fit the header, types that are no integers, and the older format TNTIDX.
  /// With `check` all, it refuses sizes below 0 and offsets that overlap or overflow. It also
  /// refuses a document index that goes beyond the sequences.
  MegatronFile(const std::string& prefix, DocumentCheck check, const TokenFacts& given);
  ~MegatronFile() override;

  [[nodiscard]] const std::string& path() const override { return prefix_; }
  [[nodiscard]] std::string format() const override { return "Megatron's .bin and .idx"; }
  [[nodiscard]] std::int64_t tokens() const override { return tokens_; }
  [[nodiscard]] std::int64_t documents() const override { return header_.sequences; }
  [[nodiscard]] std::int64_t token_bytes() const override { return header_.width; }
  [[nodiscard]] std::int64_t vocab_size() const override { return given_.vocab_size; }
  [[nodiscard]] std::int32_t end_of_document() const override { return given_.end_of_document; }
  [[nodiscard]] const std::string& tokenizer_kind() const override { return none_; }
  [[nodiscard]] const std::string& tokenizer_definition() const override { return none_; }
  /// Sizes, and parts of both files: see BinaryFile::sampled_hash().
  [[nodiscard]] const std::string& source_hash() const override { return source_hash_; }
  [[nodiscard]] std::int64_t document_start(std::int64_t i) const override;
  void read(std::int64_t offset, std::span<std::int32_t> to) const override;
  /// Reads without a look at the vocabulary: labels may be below 0.
  void read_numbers(std::int64_t offset, std::span<std::int32_t> to) const;
  void verify(const std::function<void(std::int64_t bytes)>& progress) const override;
  [[nodiscard]] const MegatronHeader& header() const { return header_; }
  /// Whether the document index lists every sequence once, in order, as for plain text.
  [[nodiscard]] bool plain_documents() const;

 private:
  [[nodiscard]] MegatronHeader read_header() const;
  void check_sequences() const;
  void check_document_index() const;

  std::string prefix_;
  TokenFacts given_;
  std::unique_ptr<BinaryFile> index_;
  std::unique_ptr<BinaryFile> data_;
  MegatronHeader header_;
  std::int64_t tokens_ = 0;
  std::string source_hash_;
  std::string none_;
};

/// Writes PREFIX.bin and PREFIX.idx under other names and renames both in finish(). Without
/// finish() no file remains.
class MegatronWriter {
 public:
  /// `code` is the type of a token: 8 (uint16) or 4 (int32) in files that Megatron writes.
  /// Throws Error if the files can't be created there.
  MegatronWriter(const std::string& prefix, std::uint8_t code);
  ~MegatronWriter();
  MegatronWriter(const MegatronWriter&) = delete;
  MegatronWriter& operator=(const MegatronWriter&) = delete;

  void append(std::span<const std::int32_t> tokens);
  void end_document();
  /// Replaces existing files: first PREFIX.bin, then PREFIX.idx.
  void finish();

 private:
  struct Output;
  void write(Output& output, const void* data, std::int64_t bytes);

  std::uint8_t code_;
  std::int64_t width_;
  std::unique_ptr<Output> data_;
  std::unique_ptr<Output> index_;
  std::vector<std::int32_t> sizes_;
  std::int64_t document_tokens_ = 0;
};

}  // namespace trireme
