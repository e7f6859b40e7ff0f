// SPDX-License-Identifier: Apache-2.0
// Parts of a text file by offset.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/data/prepare.hpp"

namespace trireme {

class TextFile {
 public:
  explicit TextFile(const TextInput& input);
  ~TextFile();
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  /// Bytes [begin, end), cut to the file. Throws Error if the file has become shorter.
  [[nodiscard]] std::string read(std::int64_t begin, std::int64_t end) const;

 private:
  std::string path_;
  std::int64_t bytes_;
  int file_;
};

/// Bytes [begin, end) of a file and what they are to hold.
struct TextRange {
  std::int64_t begin;
  std::int64_t end;
};

/// Documents between separators. Sets all of TextPieces.
[[nodiscard]] TextPieces read_plain(const TextFile& file, const TextRange& block,
                                    const std::string& separator, const Tokenizer& tokenizer);
/// Documents of the lines that start in the block. Sets all of TextPieces.
[[nodiscard]] TextPieces read_jsonl(const TextFile& file, const TextRange& block,
                                    const std::string& key, const Tokenizer& tokenizer);

/// The share of `text`, which lies at `offset`, in the hash of its file: the sum over all bytes
/// of byte · 256^(offset mod 8) · multiplier(offset / 8) modulo 2^64 (a multilinear hash of
/// 8-byte words), so shares add up however the file is cut.
[[nodiscard]] std::uint64_t hash_share(std::string_view text, std::int64_t offset);

}  // namespace trireme
