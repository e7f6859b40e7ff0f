// SPDX-License-Identifier: Apache-2.0
// Divides files into units, and reads these.
#include "trireme/data/prepare.hpp"

#include <algorithm>

#include "text_file.hpp"

namespace trireme {

TextBlocks::TextBlocks(std::vector<TextInput> inputs, TextFormat format,
                       const Tokenizer& tokenizer, std::int64_t block_bytes)
    : inputs_(std::move(inputs)),
      format_(std::move(format)),
      tokenizer_(tokenizer),
      block_bytes_(block_bytes) {
  TRM_CHECK(block_bytes > 0, "blocks of {} bytes", block_bytes);
  TRM_REQUIRE(std::ssize(format_.separator) <= kMaxSeparator,
              "the document separator has {} bytes; at most {} are possible",
              format_.separator.size(), kMaxSeparator);
  first_units_.push_back(0);
  for (const TextInput& input : inputs_) {
    const std::int64_t blocks = (input.bytes + block_bytes - 1) / block_bytes;
    first_units_.push_back(first_units_.back() + (input.is_stream() ? 1 : blocks));
  }
}

std::int64_t TextBlocks::bytes() const {
  std::int64_t sum = 0;
  for (const TextInput& input : inputs_) sum += input.bytes;
  return sum;
}

TextBlocks::Place TextBlocks::place(std::int64_t k) const {
  const auto next = std::upper_bound(first_units_.begin(), first_units_.end(), k);
  TRM_CHECK(next != first_units_.begin() && next != first_units_.end(), "unit {} of {}", k,
            count());
  const auto number = static_cast<std::size_t>(next - first_units_.begin() - 1);
  const TextInput& input = inputs_[number];
  if (input.is_stream()) return {number, 0, input.bytes, true, true};
  const std::int64_t begin = (k - first_units_[number]) * block_bytes_;
  const std::int64_t end = std::min(begin + block_bytes_, input.bytes);
  return {number, begin, end, end == input.bytes, false};
}

TextPieces TextBlocks::read(std::int64_t k) const {
  const Place at = place(k);
  TRM_CHECK(!at.stream, "unit {} is a stream", k);
  const TextInput& input = inputs_[at.input];
  const TextFile file(input);
  const TextRange range{at.begin, at.end};
  TextPieces pieces = input.jsonl ? read_jsonl(file, range, format_, tokenizer_)
                                  : read_plain(file, range, format_, tokenizer_);
  pieces.input_bytes = at.end - at.begin;
  pieces.ends_file = at.last;
  return pieces;
}

std::unique_ptr<StreamReader> TextBlocks::open(std::int64_t k) const {
  return std::make_unique<StreamReader>(inputs_[place(k).input], format_, tokenizer_,
                                        block_bytes_);
}

TextPieces TextBlocks::encode(std::int64_t k, TextChunk&& chunk) const {
  const TextInput& input = inputs_[place(k).input];
  TextPieces pieces;
  std::string& text = chunk.text;
  pieces.hash = hash_share(text, chunk.offset);
  pieces.lines = std::ranges::count(text, '\n');
  pieces.text_bytes = std::ssize(text);
  pieces.input_bytes = chunk.input_bytes;
  pieces.ends_file = chunk.last;
  const std::size_t start = chunk.offset == 0 ? static_cast<std::size_t>(input.start) : 0;
  if (chunk.kind == TextChunk::Kind::long_line) {
    Fault fault = long_line(format_);
    fault.line = 1;
    pieces.add_fault(std::move(fault));
  } else if (chunk.kind == TextChunk::Kind::text && input.jsonl) {
    encode_lines(text, start, format_, tokenizer_, pieces, 1);
  } else if (chunk.kind == TextChunk::Kind::text) {
    pieces.has_crlf = text.find("\r\n") != std::string::npos;
    encode_plain(chunk, start, format_, tokenizer_, pieces);
  }
  return pieces;
}

Surroundings TextBlocks::surroundings() const {
  if (format_.chat != nullptr) return {};  // the template writes all that there is
  Surroundings around = tokenizer_.surroundings();
  // The writer ends each document with this id itself.
  if (!around.after.empty() && around.after.back() == tokenizer_.end_of_document()) {
    around.after.pop_back();
  }
  return around;
}

void TextBlocks::read_all(std::int64_t k, const std::function<void(TextPieces&&)>& f) const {
  if (!place(k).stream) return f(read(k));
  const auto reader = open(k);
  while (!reader->at_end()) f(encode(k, reader->next()));
}

}  // namespace trireme
