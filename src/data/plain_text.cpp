// SPDX-License-Identifier: Apache-2.0
// Reads blocks of plain text. A separator can overlap itself, as "\n\n" does in "\n\n\n". Which
// of the overlapping matches are separators depends on where the scan from the left started.
#include <algorithm>

#include "text_file.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kWindow = 1 << 16;

/// The last offset not after `x` at which one document's text can be split for encoding. The
/// result depends on x alone, so the blocks on both sides agree on it.
std::int64_t split_before(const TextFile& file, std::int64_t x, const Tokenizer& tokenizer) {
  if (x <= 0 || x >= file.bytes()) return x;
  const std::int64_t from = std::max<std::int64_t>(0, x - kWindow);
  const auto split = static_cast<std::int64_t>(tokenizer.split_point(file.read(from, x)));
  TRM_REQUIRE(
      split > 0 || from == 0,
      "{}: the tokenizer {} cannot split the text anywhere in the {} bytes before byte {}",
      file.path(), tokenizer.kind(), kWindow, x);
  return from + split;
}

/// An offset not after `x` that no separator found from the left can span. Goes to the start of
/// whatever match spans x, and repeats until no match does.
std::int64_t clean_place(const TextFile& file, std::int64_t x, const std::string& separator) {
  const auto m = static_cast<std::int64_t>(separator.size());
  if (m < 2 || x <= file.start()) return x;
  std::string text;
  std::int64_t from = x;  // where `text` begins in the file
  for (;;) {
    const std::int64_t begin = std::max(file.start(), x - m + 1);
    const std::int64_t end = std::min(file.bytes(), x + m - 1);
    if (text.empty() || begin < from) {
      from = std::max(file.start(), end - kWindow);
      text = file.read(from, end);
    }
    const auto part = std::string_view(text).substr(static_cast<std::size_t>(begin - from),
                                                    static_cast<std::size_t>(end - begin));
    const std::size_t spanning = part.find(separator);
    if (spanning == std::string_view::npos) return x;
    x = begin + static_cast<std::int64_t>(spanning);
  }
}

/// Where the scan from the left continues after the last separator that starts before `x`.
/// Returns `x` itself if that separator ends before `x`.
std::int64_t scan_to(const TextFile& file, std::int64_t x, const std::string& separator) {
  std::int64_t at = clean_place(file, x, separator);
  const auto m = static_cast<std::int64_t>(separator.size());
  while (at < x) {
    const std::int64_t n = std::min<std::int64_t>(kWindow, x - at);
    const std::string text = file.read(at, at + n + m - 1);
    std::size_t next = 0;
    for (std::size_t found = text.find(separator); found < static_cast<std::size_t>(n);
         found = text.find(separator, next)) {
      next = found + separator.size();
    }
    at += std::max(n, static_cast<std::int64_t>(next));
  }
  return at;
}

/// Whether a document begins at `x`: at the file's beginning or right behind a separator.
bool begins_document(const TextFile& file, std::int64_t x, const std::string& separator) {
  if (x <= file.start()) return true;
  if (separator.size() < 2) return file.read(x - 1, x) == separator;
  return scan_to(file, x - 1, separator) == x;
}

}  // namespace

TextPieces read_plain(const TextFile& file, const TextRange& block,
                      const std::string& separator, const Tokenizer& tokenizer) {
  // The block's documents are those in [begin, end), which may start a little further left.
  const std::int64_t begin = std::max(split_before(file, block.begin, tokenizer), file.start());
  const std::int64_t end = std::max(split_before(file, block.end, tokenizer), file.start());
  const auto m = static_cast<std::int64_t>(separator.size());
  const std::int64_t from = std::min(begin, block.begin);  // a mark belongs to the hash too
  const std::string text = file.read(from, block.end + std::max<std::int64_t>(m - 1, 0));
  const auto own =
      std::string_view(text).substr(static_cast<std::size_t>(block.begin - from),
                                    static_cast<std::size_t>(block.end - block.begin));
  const auto view = std::string_view(text).substr(
      std::min(static_cast<std::size_t>(begin - from), text.size()));

  TextPieces pieces;
  pieces.hash = hash_share(own, block.begin);
  pieces.has_crlf = own.find("\r\n") != std::string_view::npos;
  const auto stop = static_cast<std::size_t>(end - begin);
  std::size_t at = 0;
  if (m > 0) at = static_cast<std::size_t>(scan_to(file, begin, separator) - begin);
  TextPart part = at > 0 || begins_document(file, begin, separator) ? TextPart::first
                                                                    : TextPart::later;
  while (at < stop) {
    const std::size_t found = m > 0 ? view.find(separator, at) : std::string_view::npos;
    tokenizer.encode_part(view.substr(at, std::min(found, stop) - at), part, pieces.tokens);
    part = TextPart::first;
    if (found >= stop) break;
    pieces.ends.push_back(static_cast<std::int64_t>(pieces.tokens.size()));
    at = found + separator.size();
  }
  return pieces;
}

}  // namespace trireme
