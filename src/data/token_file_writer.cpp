// SPDX-License-Identifier: Apache-2.0
// Writes token files. Tokens and offsets are written in whole chunks only. HDF5 therefore sees
// equal calls in equal order, whatever pieces the text came in. Each chunk is a block that has
// a checksum.
#include <bit>

#include "trireme/data/token_file.hpp"

#include "token_seal.hpp"

namespace trireme {

namespace {

constexpr std::size_t kDocumentChunk = 1 << 13;

/// Adds the checksum of a block of elements.
template <class T>
void note(std::vector<std::int64_t>& checksums, const std::vector<T>& block) {
  checksums.push_back(
      std::bit_cast<std::int64_t>(h5::checksum_of(block.data(), block.size() * sizeof(T))));
}

void write_checksums(h5::File& file, const std::string& name, std::int64_t block,
                     const std::vector<std::int64_t>& checksums) {
  const Shape shape{std::ssize(checksums)};
  h5::Dataset dataset = file.create_dataset("checksums/" + name, DType::i64, shape);
  dataset.write(ConstView(checksums.data(), DType::i64, shape));
  dataset.set_attribute("block", block);
}

}  // namespace

TokenFileWriter::TokenFileWriter(const std::string& path, const Tokenizer& tokenizer)
    : path_(path),
      replacement_(path),
      end_of_document_(tokenizer.end_of_document()),
      file_(replacement_.temporary(), h5::Mode::create,
            {.checksums = true, .user_block = kTokenSeal.bytes}),
      wide_(tokenizer.vocab_size() > 1 << 16) {
  file_.set_attribute("format", "trireme-tokens");
  file_.set_attribute("format_version", kTokenFormatVersion);
  file_.set_attribute("vocab_size", tokenizer.vocab_size());
  file_.set_attribute("end_of_document", end_of_document_);
  file_.set_attribute("tokenizer", tokenizer.kind());
  file_.set_attribute("tokenizer_definition", tokenizer.definition());
  token_data_ = file_.create_dataset("tokens", wide_ ? DType::u32 : DType::u16, Shape{0},
                                     {.extendable = true, .chunk = kTokenChunk});
  document_data_ = file_.create_dataset("documents", DType::u64, Shape{0},
                                        {.extendable = true, .chunk = kDocumentChunk});
  token_buffer_.reserve(kTokenChunk);
  document_buffer_.push_back(0);
}

void TokenFileWriter::append(std::span<const std::int32_t> tokens) {
  tokens_ += static_cast<std::int64_t>(tokens.size());
  document_tokens_ += static_cast<std::int64_t>(tokens.size());
  while (!tokens.empty()) {
    const std::size_t room = kTokenChunk - token_buffer_.size();
    const auto part = tokens.first(std::min(room, tokens.size()));
    token_buffer_.insert(token_buffer_.end(), part.begin(), part.end());
    tokens = tokens.subspan(part.size());
    if (token_buffer_.size() == kTokenChunk) flush_tokens();
  }
}

void TokenFileWriter::end_document() {
  if (document_tokens_ == 0) {
    ++dropped_;
    return;
  }
  append({&end_of_document_, 1});
  document_tokens_ = 0;
  ++documents_;
  document_buffer_.push_back(static_cast<std::uint64_t>(tokens_));
  if (document_buffer_.size() == kDocumentChunk) flush_documents();
}

void TokenFileWriter::flush_tokens() {
  const Shape shape{static_cast<std::int64_t>(token_buffer_.size())};
  if (token_buffer_.empty()) return;
  if (wide_) {
    note(token_checksums_, token_buffer_);
    token_data_.append(ConstView(token_buffer_.data(), DType::u32, shape));
  } else {
    narrow_buffer_.resize(token_buffer_.size());
    for (std::size_t i = 0; i < token_buffer_.size(); ++i) {
      narrow_buffer_[i] = static_cast<std::uint16_t>(token_buffer_[i]);
    }
    note(token_checksums_, narrow_buffer_);
    token_data_.append(ConstView(narrow_buffer_.data(), DType::u16, shape));
  }
  token_buffer_.clear();
}

void TokenFileWriter::flush_documents() {
  if (document_buffer_.empty()) return;
  note(document_checksums_, document_buffer_);
  document_data_.append(ConstView(document_buffer_.data(), DType::u64,
                                  Shape{static_cast<std::int64_t>(document_buffer_.size())}));
  document_buffer_.clear();
}

void TokenFileWriter::finish(const std::string& source_hash) {
  TRM_CHECK(document_tokens_ == 0, "{}: finish() within a document", path_);
  TRM_REQUIRE(tokens_ > 0, "{}: nothing to write: there is no text in the input", path_);
  flush_tokens();
  flush_documents();
  file_.set_attribute("source_hash", source_hash);
  write_checksums(file_, "tokens", kTokenChunk, token_checksums_);
  write_checksums(file_, "documents", kDocumentChunk, document_checksums_);
  std::vector<h5::Extent> data = token_data_.extents();
  const std::vector<h5::Extent> more = document_data_.extents();
  data.insert(data.end(), more.begin(), more.end());
  token_data_ = {};
  document_data_ = {};
  file_.close();
  h5::write_seal(replacement_.temporary(), kTokenSeal, std::move(data));
  replacement_.commit(Durability::power);
}

}  // namespace trireme
