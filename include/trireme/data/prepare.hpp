// SPDX-License-Identifier: Apache-2.0
// Turns text files into documents of tokens, block by block. Files are split into blocks of a
// fixed size. Any rank can read any block by itself, in any order. Joined in order, the blocks'
// results equal those of one pass over the files from left to right.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trireme/data/token_file.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// How files become documents. A file's content decides, whatever its name: files whose first
/// line that is not blank is a JSON object hold JSON lines. So do files named .jsonl, .ndjson
/// or .json. Each JSON line is one object and one document; blank lines are skipped. Other
/// files are plain text: separators, found from left to right without overlap, stand between
/// documents. Without a separator, a plain-text file is one document. Line ends stay as they
/// are. A byte order mark at a file's beginning is no text.
struct TextFormat {
  std::string jsonl_key = "text";
  bool all_jsonl = false;
  bool as_it_is = false;  ///< every file is plain text, whatever it holds, from its first byte
  std::string separator{};
};

struct TextInput {
  std::string path;
  std::int64_t bytes = 0;
  bool jsonl = false;
  std::int64_t start = 0;  ///< where the text begins: behind a byte order mark
};

/// Throws Error if a file is missing, unreadable, not a regular file, compressed, no text, or
/// JSON of another layout than JSON lines.
[[nodiscard]] std::vector<TextInput> find_inputs(const std::vector<std::string>& paths,
                                                 const TextFormat& format);

/// The tokens and document ends that a block holds.
struct TextPieces {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> ends;  ///< offsets in `tokens` at which documents end, ascending
  std::uint64_t hash = 0;          ///< what this block adds to its file's hash
  bool has_crlf = false;           ///< plain text in which lines end in \r\n
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

  /// The number of blocks over all files. Empty files have no block.
  [[nodiscard]] std::int64_t count() const { return first_blocks_.back(); }
  [[nodiscard]] std::int64_t bytes() const;  ///< in all files
  /// Block k: bytes [begin, end) of a file.
  struct Place {
    std::size_t input;
    std::int64_t begin;
    std::int64_t end;
    bool last;  ///< whether the block is its file's last
  };
  [[nodiscard]] Place place(std::int64_t k) const;
  /// Throws Error that names file and line where JSON is malformed.
  [[nodiscard]] TextPieces read(std::int64_t k);
  [[nodiscard]] const std::vector<TextInput>& inputs() const { return inputs_; }
  [[nodiscard]] const TextFormat& format() const { return format_; }
  /// What stands around each document, but for the id that ends documents.
  [[nodiscard]] Surroundings surroundings() const;

 private:
  std::vector<TextInput> inputs_;
  TextFormat format_;
  const Tokenizer& tokenizer_;
  std::int64_t block_bytes_;
  /// the first block of each file, and the number of blocks at the end
  std::vector<std::int64_t> first_blocks_;
  std::size_t open_input_ = 0;
  std::unique_ptr<class TextFile> open_;
};

/// Joins the results of blocks, which the caller adds in order, into documents.
class DocumentJoiner {
 public:
  DocumentJoiner(const TextBlocks& blocks, TokenFileWriter& writer)
      : blocks_(blocks),
        writer_(writer),
        around_(blocks.surroundings()),
        seen_(blocks.inputs().size()) {}
  void add(std::int64_t k, const TextPieces& pieces);
  /// Throws Error if the separator stands in no file of plain text, or in none whose lines end
  /// in \r\n. Otherwise returns a warning that names files without the separator, or "". Call
  /// after the last block.
  [[nodiscard]] std::string check_separator() const;
  /// 16 hexadecimal digits that depend on the order and contents of all files. Call after the
  /// last block.
  [[nodiscard]] std::string source_hash() const;

 private:
  void append(std::span<const std::int32_t> tokens);
  void end_document();

  const TextBlocks& blocks_;
  TokenFileWriter& writer_;
  Surroundings around_;
  std::uint64_t file_hash_ = 0;
  std::uint64_t hash_ = 0;
  struct Seen {
    std::size_t separators = 0;
    bool has_crlf = false;
  };
  std::vector<Seen> seen_;  ///< one entry a file
};

}  // namespace trireme
