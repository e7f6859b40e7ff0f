// SPDX-License-Identifier: Apache-2.0
// From text files to documents of tokens, block by block. Files are cut into blocks of a fixed
// size; any block can be read by itself, by any rank, in any order, and the blocks' results in
// order are what one pass over the files from left to right gives.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trireme/data/token_file.hpp"
#include "trireme/data/tokenizer.hpp"

namespace trireme {

/// How files become documents. JSON lines (one object a line, one document each, blank lines
/// skipped): files whose names end in .jsonl, .ndjson or .json, or all if `all_jsonl`. Others
/// are plain text: documents lie between separators, found from left to right without overlap;
/// with no separator a file is one document.
struct TextFormat {
  std::string jsonl_key = "text";
  bool all_jsonl = false;
  std::string separator{};
};

struct TextInput {
  std::string path;
  std::int64_t bytes = 0;
  bool jsonl = false;
};

/// Throws Error if a file is missing, unreadable, not a regular file or compressed.
[[nodiscard]] std::vector<TextInput> find_inputs(const std::vector<std::string>& paths,
                                                 const TextFormat& format);

/// What a block holds of documents.
struct TextPieces {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> ends;  ///< documents end before these places in `tokens`, rising
  std::uint64_t hash = 0;          ///< the block's share in its file's hash
};

/// Reads blocks. Not thread-safe.
class TextBlocks {
 public:
  static constexpr std::int64_t kBlockBytes = 4 << 20;
  static constexpr std::int64_t kMaxSeparator = 4096;
  static constexpr std::int64_t kMaxLine = 1 << 30;  ///< bytes of a JSON line

  TextBlocks(std::vector<TextInput> inputs, TextFormat format, const Tokenizer& tokenizer,
             std::int64_t block_bytes = kBlockBytes);
  ~TextBlocks();
  TextBlocks(const TextBlocks&) = delete;
  TextBlocks& operator=(const TextBlocks&) = delete;

  /// Over all files, in their order; empty files have none.
  [[nodiscard]] std::int64_t count() const { return first_blocks_.back(); }
  [[nodiscard]] std::int64_t bytes() const;  ///< of all files
  /// Where block k lies.
  struct Place {
    std::size_t input;
    std::int64_t begin;
    std::int64_t end;
    bool last;  ///< of its file
  };
  [[nodiscard]] Place place(std::int64_t k) const;
  /// Throws Error naming file and line where JSON is malformed.
  [[nodiscard]] TextPieces read(std::int64_t k);
  [[nodiscard]] const std::vector<TextInput>& inputs() const { return inputs_; }

 private:
  std::vector<TextInput> inputs_;
  TextFormat format_;
  const Tokenizer& tokenizer_;
  std::int64_t block_bytes_;
  std::vector<std::int64_t> first_blocks_;  ///< by input, and the number of all
  std::size_t open_input_ = 0;
  std::unique_ptr<class TextFile> open_;
};

/// Puts blocks' results, given in order, together to documents.
class DocumentJoiner {
 public:
  DocumentJoiner(const TextBlocks& blocks, TokenFileWriter& writer)
      : blocks_(blocks), writer_(writer) {}
  void add(std::int64_t k, const TextPieces& pieces);
  /// 16 hexadecimal digits that depend on the contents of all files and their order. To be
  /// called after the last block.
  [[nodiscard]] std::string source_hash() const;

 private:
  const TextBlocks& blocks_;
  TokenFileWriter& writer_;
  std::uint64_t file_hash_ = 0;
  std::uint64_t hash_ = 0;
};

}  // namespace trireme
