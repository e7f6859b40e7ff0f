// SPDX-License-Identifier: Apache-2.0
// Turns text files into documents of tokens, unit by unit. A unit is a block of a file, or all
// of a stream: a compressed file or standard input. Any thread of any rank can read any unit.
// Joined in order, the units' results equal those of one pass over the files from left to
// right.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

class TextStream;
struct ChatTemplate;

/// What a line of JSON becomes.
enum class RecordKind : std::uint8_t {
  text,      ///< the texts of `keys`, as one document
  chat,      ///< `messages` or `conversations`, in the form of a chat template
  pairs,     ///< `prompt`, `chosen`, `rejected`, as two documents
  labelled,  ///< a text with a label
};

/// The words of a conversation that count as targets.
enum class TrainOn : std::uint8_t { assistant, all, last };

/// How files become documents. A file's content decides, whatever its name: files whose first
/// line that is not blank is a JSON object hold JSON lines. So do files named .jsonl, .ndjson
/// or .json. Each JSON line is one object; blank lines are skipped. Other files are plain text:
/// separators, found from left to right without overlap, stand between documents. Without a
/// separator, a plain-text file is one document. Line ends stay as they are. A byte order mark
/// at a file's beginning is no text. What gzip, zstd, xz or bzip2 packed is unpacked first.
struct TextFormat {
  /// Keys of the texts in a JSON line; dots enter objects. A blank line stands between texts.
  std::vector<std::string> keys{"text"};
  bool all_jsonl = false;
  bool as_it_is = false;     ///< every file is plain text of any bytes, from its first byte
  bool whole_files = false;  ///< every file is one document, also if it holds JSON
  std::string separator{};
  RecordKind records = RecordKind::text;
  const ChatTemplate* chat = nullptr;  ///< the form of conversations; null: prompts as they are
  TrainOn train_on = TrainOn::assistant;
  std::string label_key{};            ///< for records of the kind `labelled`
  std::int64_t max_line = 256 << 20;  ///< bytes of a JSON line
  /// Bytes of plain text in which Tokenizer::split_point() finds nothing, within a document.
  std::int64_t max_unsplit = 256 << 20;
};

/// How a file is packed.
enum class Compression : std::uint8_t { none, gzip, zstd, xz, bzip2 };

struct TextInput {
  std::string path;
  std::int64_t bytes = 0;  ///< in the file; 0 for standard input
  bool jsonl = false;
  std::int64_t start = 0;  ///< where the text begins: behind a byte order mark
  Compression compression = Compression::none;
  std::shared_ptr<TextStream> standard_input{};  ///< set for the path "-" where it was opened

  /// Whether the text can only be read from its beginning.
  [[nodiscard]] bool is_stream() const {
    return compression != Compression::none || path == "-";
  }
};

/// Why a document or a file was left out, or can't be used.
enum class Trouble : std::uint8_t { json, key, utf8, surrogate, length, record, file };
inline constexpr std::size_t kTroubles = 7;
/// "not valid JSON": completes "12 lines are …".
[[nodiscard]] std::string_view words_of(Trouble trouble);

/// A place in an input that can't be used.
struct Fault {
  Trouble trouble = Trouble::json;
  std::int64_t line = 0;  ///< from 1 on, counted from the beginning of the piece; 0: the file
  std::string what{};
};

/// The files of all paths, in their order. "-" is standard input. A folder stands for all files
/// in it and in its folders, in the order of their paths byte by byte. Names that begin with a
/// dot, and links to folders, are passed over. A path that does not exist and has *, ? or [
/// is a pattern of the shell. Throws Error if a file is missing, unreadable, not a regular
/// file, no text, packed otherwise, or JSON of another layout than JSON lines.
[[nodiscard]] std::vector<TextInput> find_inputs(const std::vector<std::string>& paths,
                                                 const TextFormat& format,
                                                 std::vector<Fault>* refused = nullptr);

/// What is known of a document, as bits.
inline constexpr std::uint8_t kBad = 1;        ///< a fault stands in it: it is left out
inline constexpr std::uint8_t kHasNul = 2;     ///< a NUL stands in it, and stays
inline constexpr std::uint8_t kWordLabel = 4;  ///< its label is a word
inline constexpr std::uint8_t kEndCounts = 8;  ///< the end-of-document token is a target

/// The end of a document in pieces.
struct DocumentEnd {
  std::int64_t at = 0;     ///< offset in the tokens
  std::int64_t bytes = 0;  ///< text since the end before
  double label = 0;        ///< a number, or that of a word in `labels`
  std::uint8_t flags = 0;
};

/// The tokens and document ends that a unit, or a part of a stream, holds.
struct TextPieces {
  std::vector<std::int32_t> tokens{};
  std::vector<std::uint8_t> mask{};   ///< one entry a token, or none if all are targets
  std::vector<DocumentEnd> ends{};    ///< ascending
  std::vector<Fault> faults{};        ///< the first kMostFaults
  std::vector<std::string> labels{};  ///< words that labels stand for
  std::array<std::int64_t, kTroubles> troubles{};  ///< all faults, by kind
  std::uint64_t hash = 0;                          ///< what the text adds to its file's hash
  std::int64_t lines = 0;                          ///< line ends in the text
  std::int64_t blank_lines = 0;                    ///< among JSON lines
  std::int64_t text_bytes = 0;                     ///< size of the text that is hashed
  std::int64_t input_bytes = 0;  ///< bytes of the file that were read, for progress
  DocumentEnd tail{};            ///< what stands behind the last end; its offset has no meaning
  bool has_crlf = false;         ///< plain text in which lines end in \r\n
  bool ends_file = false;        ///< these pieces are their file's last

  static constexpr std::size_t kMostFaults = 10;
  void add_fault(Fault fault);
  /// Ends the document that `tail` describes.
  void end_document();
};

/// Pieces as bytes, for messages and files of one run. Tokens take 2 bytes unless `wide`.
void pack(const TextPieces& pieces, bool wide, std::string& to);
[[nodiscard]] TextPieces unpack(std::string_view bytes, bool wide);

/// A part of a stream's text, between places at which the text can be divided.
struct TextChunk {
  enum class Kind : std::uint8_t {
    text,       ///< whole JSON lines, or plain text
    long_line,  ///< the beginning of a JSON line that is too long
    long_rest,  ///< more of such a line
  };
  Kind kind = Kind::text;
  std::string text{};
  std::int64_t offset = 0;          ///< where the text begins in the stream
  std::vector<std::size_t> ends{};  ///< plain text: where separators begin
  std::int64_t input_bytes = 0;
  bool begins_document = true;  ///< plain text: whether it begins a document
  bool last = false;
};

/// Reads a stream from its beginning, in parts of about a block.
class StreamReader {
 public:
  StreamReader(const TextInput& input, const TextFormat& format, const Tokenizer& tokenizer,
               std::int64_t chunk_bytes);
  ~StreamReader();
  StreamReader(const StreamReader&) = delete;
  StreamReader& operator=(const StreamReader&) = delete;

  /// The next part. Throws Error that names the file where it is damaged or cut short.
  [[nodiscard]] TextChunk next();
  [[nodiscard]] bool at_end() const { return at_end_; }

 private:
  // Both return the bytes of `text_` that make the next part; 0: more must be read.
  [[nodiscard]] std::size_t divide_lines(TextChunk& chunk);
  [[nodiscard]] std::size_t divide_plain(TextChunk& chunk);
  [[nodiscard]] std::size_t split_document(std::size_t usable) const;

  const TextInput& input_;
  const TextFormat& format_;
  const Tokenizer& tokenizer_;
  std::size_t chunk_bytes_;
  std::shared_ptr<TextStream> stream_;
  std::string text_;               ///< read, but not yet part of a chunk
  std::vector<std::size_t> ends_;  ///< separators in text_
  std::size_t scanned_;            ///< where the search in text_ continues
  std::size_t document_;           ///< where the current document begins in text_
  std::int64_t offset_ = 0;        ///< where text_ begins in the stream
  std::int64_t consumed_ = 0;      ///< bytes of the file
  bool begins_document_ = true;    ///< whether text_ does
  bool in_long_line_ = false;
  bool ended_ = false;  ///< all of the stream is in text_
  bool at_end_ = false;
};

/// Units of text. Threads may share it.
class TextBlocks {
 public:
  static constexpr std::int64_t kBlockBytes = 2 << 20;
  static constexpr std::int64_t kMaxSeparator = 4096;

  TextBlocks(std::vector<TextInput> inputs, TextFormat format, const Tokenizer& tokenizer,
             std::int64_t block_bytes = kBlockBytes);

  /// The number of units over all files. Empty files have none.
  [[nodiscard]] std::int64_t count() const { return first_units_.back(); }
  [[nodiscard]] std::int64_t bytes() const;  ///< in all files
  /// Unit k: bytes [begin, end) of a file, or a stream.
  struct Place {
    std::size_t input;
    std::int64_t begin;
    std::int64_t end;
    bool last;  ///< whether the unit is its file's last
    bool stream;
  };
  [[nodiscard]] Place place(std::int64_t k) const;
  /// Reads a block. Throws Error where the file can't be read.
  [[nodiscard]] TextPieces read(std::int64_t k) const;
  /// Opens a stream.
  [[nodiscard]] std::unique_ptr<StreamReader> open(std::int64_t k) const;
  /// Encodes a part of a stream.
  [[nodiscard]] TextPieces encode(std::int64_t k, TextChunk&& chunk) const;
  /// Gives all pieces of a unit to f, in order.
  void read_all(std::int64_t k, const std::function<void(TextPieces&&)>& f) const;
  [[nodiscard]] const std::vector<TextInput>& inputs() const { return inputs_; }
  [[nodiscard]] const TextFormat& format() const { return format_; }
  /// What stands around each document, but for the id that ends documents.
  [[nodiscard]] Surroundings surroundings() const;

 private:
  std::vector<TextInput> inputs_;
  TextFormat format_;
  const Tokenizer& tokenizer_;
  std::int64_t block_bytes_;
  /// the first unit of each file, and the number of units at the end
  std::vector<std::int64_t> first_units_;
};

}  // namespace trireme
