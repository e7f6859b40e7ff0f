// SPDX-License-Identifier: Apache-2.0
// Reads parts of a text file by offset.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/data/prepare.hpp"

namespace trireme {

class TextFile {
 public:
  /// Throws Error if the file can't be opened, or has another size than `input` says.
  explicit TextFile(const TextInput& input);
  ~TextFile();
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  /// Where the text begins, behind a byte order mark.
  [[nodiscard]] std::int64_t start() const { return start_; }
  /// Reads bytes [begin, end), limited to the file's size. Throws Error if the file has become
  /// shorter.
  [[nodiscard]] std::string read(std::int64_t begin, std::int64_t end) const;

 private:
  std::string path_;
  std::int64_t bytes_;
  std::int64_t start_;
  int file_;
};

/// Bytes [begin, end) of a file.
struct TextRange {
  std::int64_t begin;
  std::int64_t end;
};

/// Reads the documents between separators. Sets all of TextPieces but what concerns files.
[[nodiscard]] TextPieces read_plain(const TextFile& file, const TextRange& block,
                                    const TextFormat& format, const Tokenizer& tokenizer);
/// Encodes plain text of a stream from byte `start` of the chunk on.
void encode_plain(const TextChunk& chunk, std::size_t start, const TextFormat& format,
                  const Tokenizer& tokenizer, TextPieces& pieces);
/// Bytes of `text` without a character that its end divides.
[[nodiscard]] std::size_t whole_characters(std::string_view text);

/// Reads the documents of the lines that start in the block.
[[nodiscard]] TextPieces read_jsonl(const TextFile& file, const TextRange& block,
                                    const TextFormat& format, const Tokenizer& tokenizer);
/// Encodes the lines of `text` from byte `at` on, the first of which has number `line`. `text`
/// grows meanwhile.
void encode_lines(std::string& text, std::size_t at, const TextFormat& format,
                  const Tokenizer& tokenizer, TextPieces& pieces, std::int64_t line);
/// The fault of a line that is too long.
[[nodiscard]] Fault long_line(const TextFormat& format);

/// What `text`, at `offset` in a file, adds to the file's hash. The hash is the sum over all
/// bytes of byte · 256^(offset mod 8) · multiplier(offset / 8), modulo 2^64. This multilinear
/// hash of 8-byte words is additive, so the way a file is split does not matter.
[[nodiscard]] std::uint64_t hash_share(std::string_view text, std::int64_t offset);

}  // namespace trireme
