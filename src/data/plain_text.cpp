// SPDX-License-Identifier: Apache-2.0
// Reads blocks of plain text. A separator can overlap itself, as "\n\n" does in "\n\n\n". Which
// of the overlapping matches are separators depends on where the scan from the left started.
#include <algorithm>
#include <cstring>

#include <simdjson.h>

#include "text_file.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kWindow = 1 << 16;

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

/// The last offset not after `x` at which one document's text can be split for encoding, or at
/// which a document begins. The result depends on x alone, so the blocks on both sides agree on
/// it.
std::int64_t split_before(const TextFile& file, std::int64_t x, const TextFormat& format,
                          const Tokenizer& tokenizer) {
  if (x <= 0 || x >= file.bytes()) return x;
  constexpr std::int64_t kOverlap = TextBlocks::kMaxSeparator;  // what a window's end divides
  for (std::int64_t end = x;;) {
    const std::int64_t from = std::max<std::int64_t>(0, end - kWindow);
    std::string text = file.read(from, end);
    const std::size_t found =
        format.separator.empty() ? std::string::npos : text.rfind(format.separator);
    if (!format.as_it_is) text.resize(whole_characters(text));
    const auto split = static_cast<std::int64_t>(tokenizer.split_point(text));
    if (split > 0 || from == 0) return from + split;
    // Whatever separator spans the one found, a document begins behind one of both.
    if (found != std::string::npos) {
      return scan_to(file, from + static_cast<std::int64_t>(found) + 1, format.separator);
    }
    TRM_REQUIRE(x - from < format.max_unsplit,
                "{}: the tokenizer {} cannot split the text anywhere in the {} bytes before "
                "byte {}; --document-separator makes shorter documents",
                file.path(), tokenizer.kind(), x - from, x);
    end = from + kOverlap;
  }
}

/// Whether a document begins at `x`: at the file's beginning or right behind a separator.
bool begins_document(const TextFile& file, std::int64_t x, const std::string& separator) {
  if (x <= file.start()) return true;
  if (separator.size() < 2) return file.read(x - 1, x) == separator;
  return scan_to(file, x - 1, separator) == x;
}

/// The offset of the first byte that begins no character in UTF-8.
std::size_t invalid_at(std::string_view text) {
  // simdjson says whether a text is valid, but not where it is not.
  std::size_t good = 0;
  std::size_t bad = text.size();
  while (bad - good > 4) {
    const std::size_t middle = good + (bad - good) / 2;
    const std::size_t end = good + whole_characters(text.substr(good, middle - good));
    if (end > good && simdjson::validate_utf8(text.data() + good, end - good)) {
      good = end;
    } else {
      bad = middle;
    }
  }
  while (good < text.size()) {
    std::size_t size = 1;
    while (size <= 4 && good + size <= text.size() &&
           !simdjson::validate_utf8(text.data() + good, size)) {
      ++size;
    }
    if (size > 4 || good + size > text.size()) return good;
    good += size;
  }
  return good;
}

/// How many lines end in a text. Loops of fixed length become vector instructions.
std::int64_t line_ends(std::string_view text) {
  constexpr std::size_t kAtOnce = 128;
  std::int64_t total = 0;
  for (; text.size() >= kAtOnce; text.remove_prefix(kAtOnce)) {
    std::uint8_t some = 0;
    for (std::size_t i = 0; i < kAtOnce; ++i) {
      some = static_cast<std::uint8_t>(some + (text[i] == '\n' ? 1U : 0U));
    }
    total += some;
  }
  return total + std::ranges::count(text, '\n');
}

/// Encodes parts of a text, and notes what is wrong with them.
class PlainEncoder {
 public:
  /// `line` is the number of the text's first line.
  PlainEncoder(const TextFormat& format, const Tokenizer& tokenizer, TextPieces& pieces,
               std::string_view text, std::int64_t line)
      : format_(format), tokenizer_(tokenizer), pieces_(pieces), text_(text), line_(line) {
    pieces.tail.flags |= kEndCounts;
  }

  /// Whether a document begins with what comes next.
  void begin_at(bool beginning) { part_ = beginning ? TextPart::first : TextPart::later; }

  void encode(std::size_t begin, std::size_t end) {
    if (begin >= end) return;
    const std::string_view part = text_.substr(begin, end - begin);
    pieces_.tail.bytes += std::ssize(part);
    if (std::memchr(part.data(), 0, part.size()) != nullptr) pieces_.tail.flags |= kHasNul;
    if (format_.as_it_is || simdjson::validate_utf8(part.data(), part.size())) {
      tokenizer_.encode_part(part, part_, pieces_.tokens);
      part_ = TextPart::later;
      return;
    }
    const std::size_t at = begin + invalid_at(part);
    pieces_.tail.flags |= kBad;
    pieces_.add_fault(
        {Trouble::utf8, line_ + line_ends(text_.substr(0, at)),
         fmt::format("the text is not UTF-8 at byte 0x{:02x}; convert it (iconv), "
                     "or take any bytes with --format text",
                     static_cast<unsigned char>(text_[at]))});
  }
  void end_document() {
    part_ = TextPart::first;
    pieces_.end_document();
    pieces_.tail.flags |= kEndCounts;
  }

 private:
  const TextFormat& format_;
  const Tokenizer& tokenizer_;
  TextPieces& pieces_;
  std::string_view text_;
  std::int64_t line_;
  TextPart part_ = TextPart::first;
};

}  // namespace

std::size_t whole_characters(std::string_view text) {
  const std::size_t most = std::min<std::size_t>(text.size(), 3);
  for (std::size_t back = 1; back <= most; ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) break;     // a character of its own
    if (byte < 0xc0) continue;  // the middle of one
    const std::size_t size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return size > back ? text.size() - back : text.size();
  }
  return text.size();
}

void encode_plain(const TextChunk& chunk, std::size_t start, const TextFormat& format,
                  const Tokenizer& tokenizer, TextPieces& pieces) {
  const std::string& text = chunk.text;
  PlainEncoder encoder(format, tokenizer, pieces, text, 1);
  encoder.begin_at(chunk.begins_document);
  for (const std::size_t end : chunk.ends) {
    encoder.encode(start, end);
    encoder.end_document();
    start = end + format.separator.size();
  }
  encoder.encode(start, text.size());
}

TextPieces read_plain(const TextFile& file, const TextRange& block, const TextFormat& format,
                      const Tokenizer& tokenizer) {
  const std::string& separator = format.separator;
  // The block's documents are those in [begin, end), which may start a little further left.
  const std::int64_t begin =
      std::max(split_before(file, block.begin, format, tokenizer), file.start());
  const std::int64_t end =
      std::max(split_before(file, block.end, format, tokenizer), file.start());
  const auto m = static_cast<std::int64_t>(separator.size());
  // A mark belongs to the hash too. A document that goes on behind the block is not read here.
  const bool ends_later = begin >= end;
  const std::int64_t from = ends_later ? block.begin : std::min(begin, block.begin);
  const std::string text = file.read(from, block.end + std::max<std::int64_t>(m - 1, 0));
  const auto own =
      std::string_view(text).substr(static_cast<std::size_t>(block.begin - from),
                                    static_cast<std::size_t>(block.end - block.begin));
  TextPieces pieces;
  pieces.hash = hash_share(own, block.begin);
  pieces.has_crlf = own.find("\r\n") != std::string_view::npos;
  pieces.lines = line_ends(own);
  pieces.text_bytes = std::ssize(own);
  pieces.tail.flags |= kEndCounts;
  if (ends_later) return pieces;
  const auto skipped = std::min(static_cast<std::size_t>(begin - from), text.size());
  const auto view = std::string_view(text).substr(skipped);
  const std::int64_t lines_before =
      begin < block.begin
          ? line_ends(view.substr(0, static_cast<std::size_t>(block.begin - begin)))
          : 0;
  PlainEncoder encoder(format, tokenizer, pieces, view, 1 - lines_before);
  const auto stop = static_cast<std::size_t>(end - begin);
  std::size_t at = 0;
  if (m > 0) at = static_cast<std::size_t>(scan_to(file, begin, separator) - begin);
  encoder.begin_at(at > 0 || begins_document(file, begin, separator));
  while (at < stop) {
    const std::size_t found = m > 0 ? view.find(separator, at) : std::string_view::npos;
    encoder.encode(at, std::min(found, stop));
    if (found >= stop) break;
    encoder.end_document();
    at = found + separator.size();
  }
  return pieces;
}

}  // namespace trireme
