// SPDX-License-Identifier: Apache-2.0
// Splits files into blocks, and joins their results.
#include "trireme/data/prepare.hpp"

#include <algorithm>

#include "text_file.hpp"

namespace trireme {

namespace {

std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 33U)) * 0xff51afd7ed558ccdU;
  x = (x ^ (x >> 33U)) * 0xc4ceb9fe1a85ec53U;
  return x ^ (x >> 33U);
}

}  // namespace

TextBlocks::TextBlocks(std::vector<TextInput> inputs, TextFormat format,
                       const Tokenizer& tokenizer, std::int64_t block_bytes)
    : inputs_(std::move(inputs)),
      format_(std::move(format)),
      tokenizer_(tokenizer),
      block_bytes_(block_bytes) {
  TRM_CHECK(block_bytes > 0, "blocks of {} bytes", block_bytes);
  TRM_REQUIRE(static_cast<std::int64_t>(format_.separator.size()) <= kMaxSeparator,
              "the document separator has {} bytes; at most {} are possible",
              format_.separator.size(), kMaxSeparator);
  first_blocks_.push_back(0);
  for (const TextInput& input : inputs_) {
    first_blocks_.push_back(first_blocks_.back() +
                            (input.bytes + block_bytes - 1) / block_bytes);
  }
}

TextBlocks::~TextBlocks() = default;

std::int64_t TextBlocks::bytes() const {
  std::int64_t sum = 0;
  for (const TextInput& input : inputs_) sum += input.bytes;
  return sum;
}

TextBlocks::Place TextBlocks::place(std::int64_t k) const {
  const auto next = std::upper_bound(first_blocks_.begin(), first_blocks_.end(), k);
  TRM_CHECK(next != first_blocks_.begin() && next != first_blocks_.end(), "block {} of {}", k,
            count());
  const auto input = static_cast<std::size_t>(next - first_blocks_.begin() - 1);
  const std::int64_t begin = (k - first_blocks_[input]) * block_bytes_;
  const std::int64_t bytes = inputs_[input].bytes;
  return {input, begin, std::min(begin + block_bytes_, bytes), begin + block_bytes_ >= bytes};
}

TextPieces TextBlocks::read(std::int64_t k) {
  const Place at = place(k);
  const TextInput& input = inputs_[at.input];
  if (open_ == nullptr || open_input_ != at.input) {
    open_ = std::make_unique<TextFile>(input);
    open_input_ = at.input;
  }
  const TextRange range{at.begin, at.end};
  return input.jsonl ? read_jsonl(*open_, range, format_.jsonl_key, tokenizer_)
                     : read_plain(*open_, range, format_.separator, tokenizer_);
}

Surroundings TextBlocks::surroundings() const {
  Surroundings around = tokenizer_.surroundings();
  // The writer ends each document with this id itself.
  if (!around.after.empty() && around.after.back() == tokenizer_.end_of_document()) {
    around.after.pop_back();
  }
  return around;
}

void DocumentJoiner::append(std::span<const std::int32_t> tokens) {
  if (!tokens.empty() && writer_.document_empty()) writer_.append(around_.before);
  writer_.append(tokens);
}

void DocumentJoiner::end_document() {
  if (!writer_.document_empty()) writer_.append(around_.after);
  writer_.end_document();
}

void DocumentJoiner::add(std::int64_t k, const TextPieces& pieces) {
  std::size_t at = 0;
  const std::span<const std::int32_t> tokens = pieces.tokens;
  for (const std::int64_t end : pieces.ends) {
    append(tokens.subspan(at, static_cast<std::size_t>(end) - at));
    end_document();
    at = static_cast<std::size_t>(end);
  }
  append(tokens.subspan(at));
  file_hash_ += pieces.hash;
  const TextBlocks::Place place = blocks_.place(k);
  seen_[place.input].separators += pieces.ends.size();
  seen_[place.input].has_crlf |= pieces.has_crlf;
  if (!place.last) return;
  // The text after the last separator is a document unless it is empty.
  if (!writer_.document_empty()) end_document();
  const auto bytes = static_cast<std::uint64_t>(blocks_.inputs()[place.input].bytes);
  hash_ = scramble(hash_ * 0x9e3779b97f4a7c15U + scramble(file_hash_ + scramble(bytes)));
  file_hash_ = 0;
}

std::string DocumentJoiner::check_separator() const {
  if (blocks_.format().separator.empty()) return {};
  const bool of_lines = blocks_.format().separator.find('\n') != std::string::npos &&
                        blocks_.format().separator.find('\r') == std::string::npos;
  std::vector<std::string> without;
  std::size_t plain = 0;
  const char* advice = "leave --document-separator out if each file is one document";
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    const TextInput& input = blocks_.inputs()[i];
    if (input.jsonl || input.bytes == 0) continue;
    ++plain;
    if (seen_[i].separators > 0) continue;
    TRM_REQUIRE(!of_lines || !seen_[i].has_crlf,
                "{}: the document separator stands nowhere in it, and its lines end in \\r\\n. "
                "Convert it (sed 's/\\r$//'), or write \\r\\n for each \\n of the separator",
                input.path);
    without.push_back(input.path);
  }
  if (plain == 0) {
    return "--document-separator has no effect, as every input holds JSON lines";
  }
  if (without.empty()) return {};
  TRM_REQUIRE(without.size() < plain,
              "the document separator stands nowhere in the input ({}{}); {}", without.front(),
              plain > 1 ? fmt::format(" and {} more", plain - 1) : "", advice);
  return fmt::format(
      "the document separator stands in {} of {} files of plain text; {}{} {} document{}",
      plain - without.size(), plain, without.front(),
      without.size() > 1 ? fmt::format(" and {} more", without.size() - 1) : "",
      without.size() > 1 ? "are one" : "is one", without.size() > 1 ? " each" : "");
}

std::string DocumentJoiner::source_hash() const { return fmt::format("{:016x}", hash_); }

}  // namespace trireme
