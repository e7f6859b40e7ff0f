// SPDX-License-Identifier: Apache-2.0
// Joins the pieces of units into documents, and leaves out those that are not wanted.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "trireme/data/prepare.hpp"
#include "trireme/data/token_file.hpp"

namespace trireme {

class DocumentSet;
class TokenHasher;

struct JoinOptions {
  bool skip_faults = false;     ///< leave out what can't be used; otherwise that is an Error
  std::int64_t min_tokens = 0;  ///< fewer in a document leave it out; its end does not count
  /// What to do about a document that can't be used, behind the error's message.
  std::string advice{". --on-error skip leaves such documents out"};
  bool dedup = false;  ///< keep the first document of those with equal tokens
};

/// What became of the input.
struct JoinReport {
  std::int64_t documents = 0;   ///< kept
  std::int64_t tokens = 0;      ///< in them, without their ends
  std::int64_t targets = 0;     ///< tokens that count
  std::int64_t text_bytes = 0;  ///< the texts' sizes
  std::int64_t longest = 0;     ///< tokens of the longest document
  std::string longest_file{};
  std::int64_t empty = 0;  ///< left out: documents without a token
  std::int64_t few = 0;    ///< left out: documents of fewer than min_tokens
  std::int64_t equal = 0;  ///< left out: documents like an earlier one
  std::int64_t blank_lines = 0;
  std::int64_t nul_documents = 0;  ///< kept, with a NUL
  std::int64_t crlf_files = 0;     ///< plain text whose line ends are \r\n, and stay
  std::array<std::int64_t, kTroubles> troubles{};  ///< left out, by reason
  std::vector<std::string> places{};  ///< the first kMostFaults of these: "a.jsonl, line 3: …"
};

/// Joins pieces, which the caller adds in order of inputs, units and chunks.
class DocumentJoiner {
 public:
  DocumentJoiner(const TextBlocks& blocks, DocumentSink& sink, const JoinOptions& options = {});
  ~DocumentJoiner();
  DocumentJoiner(const DocumentJoiner&) = delete;
  DocumentJoiner& operator=(const DocumentJoiner&) = delete;

  /// Adds pieces of unit k. Throws Error that names file and line of the first fault, unless
  /// faults are skipped.
  void add(std::int64_t k, const TextPieces& pieces);
  /// Adds files that were passed over.
  void add_refused(const std::vector<Fault>& refused);
  /// Throws Error if the separator stands in no file of plain text, or in none whose lines end
  /// in \r\n. Otherwise returns a warning that names files without the separator, or "". Call
  /// after the last unit.
  [[nodiscard]] std::string check_separator() const;
  /// 16 hexadecimal digits that depend on the order and contents of all files. Call after the
  /// last unit.
  [[nodiscard]] std::string source_hash() const;
  [[nodiscard]] const JoinReport& report() const { return report_; }
  /// The words of labels, by their number.
  [[nodiscard]] const std::vector<std::string>& label_names() const { return label_names_; }

 private:
  struct File {
    std::size_t separators = 0;
    bool has_crlf = false;
  };

  void note_faults(const std::string& path, const TextPieces& pieces);
  /// Whether to keep documents that stand whole in `pieces`: `group` of them, from end `first`
  /// on, whose tokens begin at `begin`.
  [[nodiscard]] bool wanted(const TextPieces& pieces, std::size_t begin, std::size_t first,
                            std::size_t group);
  /// Whether to keep a document of so many tokens, whose hash `hash` computes.
  template <class F>
  [[nodiscard]] bool accept(std::int64_t tokens, F&& hash);
  void add_group(const TextPieces& pieces, std::size_t begin, std::size_t first,
                 std::size_t group);
  void append(const TextPieces& pieces, std::size_t begin, std::size_t end);
  /// Tokens of the current document without its surroundings.
  [[nodiscard]] std::int64_t own_tokens() const;
  /// Ends a document that came in several pieces.
  void end_document(const DocumentEnd& end);
  void keep(std::uint8_t flags, double label);
  void forget();
  [[nodiscard]] double label_of(const TextPieces& pieces, const DocumentEnd& end);
  void end_file();

  const TextBlocks& blocks_;
  Surroundings around_;
  DocumentSink& sink_;
  JoinOptions options_;
  JoinReport report_;
  std::vector<File> files_;
  std::unique_ptr<DocumentSet> documents_;
  std::unique_ptr<TokenHasher> hasher_;  ///< for a document that comes in several pieces
  std::size_t input_ = 0;
  std::int64_t lines_ = 0;       ///< in the current file, before the next pieces
  std::int64_t file_bytes_ = 0;  ///< size of its text
  std::uint64_t file_hash_ = 0;
  std::uint64_t hash_ = 0;
  DocumentEnd current_{};     ///< bytes and flags of the current document
  std::int64_t targets_ = 0;  ///< in the current document
  std::map<std::string, std::size_t, std::less<>> label_numbers_;
  std::vector<std::string> label_names_;
  bool has_numbers_ = false;
};

}  // namespace trireme
