// SPDX-License-Identifier: Apache-2.0
// Divides a stream into parts that threads can encode by themselves.
#include <algorithm>

#include "text_file.hpp"
#include "text_stream.hpp"

namespace trireme {

namespace {

constexpr std::size_t kSplitWindow = 1 << 16;

}  // namespace

StreamReader::StreamReader(const TextInput& input, const TextFormat& format,
                           const Tokenizer& tokenizer, std::int64_t chunk_bytes)
    : input_(input),
      format_(format),
      tokenizer_(tokenizer),
      chunk_bytes_(static_cast<std::size_t>(chunk_bytes)),
      stream_(input.standard_input),
      scanned_(static_cast<std::size_t>(input.start)),
      document_(scanned_) {
  if (stream_ == nullptr) stream_ = std::make_shared<TextStream>(input.path);
  TRM_REQUIRE(stream_->compression() == input.compression,
              "{}: the file has changed since it was looked at", input.path);
}

StreamReader::~StreamReader() = default;

TextChunk StreamReader::next() {
  TextChunk chunk;
  std::size_t n = 0;
  for (;;) {
    if (ended_ || text_.size() >= chunk_bytes_) {
      n = input_.jsonl ? divide_lines(chunk) : divide_plain(chunk);
      if (n > 0 || ended_) break;
    }
    const std::size_t before = text_.size();
    stream_->read(text_, chunk_bytes_);
    ended_ = text_.size() - before < chunk_bytes_;
  }
  chunk.offset = offset_;
  chunk.last = ended_ && n == text_.size();
  chunk.text = text_.substr(0, n);
  text_.erase(0, n);
  chunk.begins_document = begins_document_;
  begins_document_ = n == document_;
  scanned_ -= std::min(scanned_, n);
  document_ -= std::min(document_, n);
  offset_ += static_cast<std::int64_t>(n);
  chunk.input_bytes = stream_->consumed() - consumed_;
  consumed_ = stream_->consumed();
  at_end_ = chunk.last;
  return chunk;
}

std::size_t StreamReader::divide_lines(TextChunk& chunk) {
  if (in_long_line_) {
    chunk.kind = TextChunk::Kind::long_rest;
    const std::size_t found = text_.find('\n');
    if (found == std::string::npos) return text_.size();
    in_long_line_ = false;
    return found + 1;
  }
  if (ended_ && text_.size() <= static_cast<std::size_t>(format_.max_line)) {
    return text_.size();
  }
  const std::size_t found = std::string_view(text_).substr(scanned_).rfind('\n');
  if (found != std::string_view::npos) return scanned_ + found + 1;
  scanned_ = text_.size();
  if (text_.size() <= static_cast<std::size_t>(format_.max_line)) return 0;
  chunk.kind = TextChunk::Kind::long_line;
  in_long_line_ = true;
  return text_.size();
}

std::size_t StreamReader::divide_plain(TextChunk& chunk) {
  const std::size_t m = format_.separator.size();
  for (;;) {
    const std::size_t found =
        m > 0 ? text_.find(format_.separator, scanned_) : std::string::npos;
    if (found == std::string::npos) break;
    ends_.push_back(found);
    scanned_ = document_ = found + m;
  }
  std::size_t n = text_.size();
  if (!ended_) {
    // A separator may begin in the last bytes.
    const std::size_t usable = n - std::min(n, m > 0 ? m - 1 : 0);
    scanned_ = std::max(document_, usable);
    n = split_document(usable);
    TRM_REQUIRE(n > 0 || std::ssize(text_) < format_.max_unsplit,
                "{}: the tokenizer {} cannot split the text anywhere in {} bytes; "
                "--document-separator makes shorter documents",
                input_.path, tokenizer_.kind(), text_.size());
  }
  if (n > 0) chunk.ends = std::exchange(ends_, {});
  return n;
}

std::size_t StreamReader::split_document(std::size_t usable) const {
  if (usable <= document_) return document_;
  const auto split_from = [&](std::size_t from) {
    std::string_view part = std::string_view(text_).substr(from, usable - from);
    if (!format_.as_it_is) part = part.substr(0, whole_characters(part));
    const std::size_t split = tokenizer_.split_point(part);
    return split > 0 ? from + split : document_;
  };
  const std::size_t window = std::max(document_, usable - std::min(usable, kSplitWindow));
  const std::size_t split = split_from(window);
  return split == document_ && window > document_ ? split_from(document_) : split;
}

}  // namespace trireme
