// SPDX-License-Identifier: Apache-2.0
// Writes token files. Tokens and offsets are written in whole chunks only. HDF5 therefore sees
// equal calls in equal order, whatever pieces the text came in. Each chunk is a block that has
// a checksum.
#include <algorithm>
#include <bit>

#include "trireme/data/token_file.hpp"

#include "token_seal.hpp"

namespace trireme {

namespace {

constexpr std::size_t kDocumentChunk = 1 << 13;
constexpr auto kChunk = static_cast<std::size_t>(kTokenChunk);

/// Writes a block of elements behind the others, and adds its checksum.
template <class T>
void put(h5::Dataset& data, std::vector<std::int64_t>& checksums, const std::vector<T>& block) {
  checksums.push_back(
      std::bit_cast<std::int64_t>(h5::checksum_of(block.data(), block.size() * sizeof(T))));
  data.append(ConstView(block.data(), data.dtype(), Shape{std::ssize(block)}));
}

void write_checksums(h5::File& file, const std::string& name, std::int64_t block,
                     const std::vector<std::int64_t>& checksums) {
  const Shape shape{std::ssize(checksums)};
  h5::Dataset dataset = file.create_dataset("checksums/" + name, DType::i64, shape);
  dataset.write(ConstView(checksums.data(), DType::i64, shape));
  dataset.set_attribute("block", block);
}

/// Goes back to `n` elements, the last of which may fill part of a block. Returns the elements
/// of that part, which are no longer in the file.
template <class T>
std::vector<T> take_back(h5::Dataset& data, std::vector<std::int64_t>& checksums,
                         std::int64_t n) {
  const std::int64_t blocks = n / kTokenChunk;
  std::vector<T> part(static_cast<std::size_t>(n % kTokenChunk));
  if (!part.empty()) {
    data.read(Box(Shape{blocks * kTokenChunk}, Shape{std::ssize(part)}),
              View(part.data(), data.dtype(), Shape{std::ssize(part)}));
  }
  data.resize(blocks * kTokenChunk);
  checksums.resize(static_cast<std::size_t>(blocks));
  return part;
}

}  // namespace

TokenFileWriter::TokenFileWriter(const std::string& path, const Tokenizer& tokenizer,
                                 TokenFileFormat format)
    : path_(path),
      format_(std::move(format)),
      version_(format_.loss_mask || format_.kind != "text" ? kTokenFormatVersion
                                                           : kOldestSealed),
      replacement_(path),
      end_of_document_(tokenizer.end_of_document()),
      file_(replacement_.temporary(), h5::Mode::create,
            {.checksums = true, .user_block = kTokenSeal.bytes}),
      wide_(tokenizer.vocab_size() > 1 << 16) {
  file_.set_attribute("format", "trireme-tokens");
  file_.set_attribute("format_version", version_);
  file_.set_attribute("vocab_size", tokenizer.vocab_size());
  file_.set_attribute("end_of_document", end_of_document_);
  file_.set_attribute("tokenizer", tokenizer.kind());
  file_.set_attribute("tokenizer_definition", tokenizer.definition());
  if (version_ > kOldestSealed) file_.set_attribute("kind", format_.kind);
  const auto create = [&](const char* name, DType dtype, std::int64_t chunk) {
    return file_.create_dataset(name, dtype, Shape{0}, {.extendable = true, .chunk = chunk});
  };
  token_data_ = create("tokens", wide_ ? DType::u32 : DType::u16, kTokenChunk);
  document_data_ = create("documents", DType::u64, kDocumentChunk);
  if (format_.loss_mask) mask_data_ = create("loss_mask", DType::u8, kTokenChunk);
  if (format_.kind == "labelled") label_data_ = create("labels", DType::f64, kDocumentChunk);
  token_buffer_.reserve(kChunk);
  document_buffer_.push_back(0);
}

void TokenFileWriter::append(std::span<const std::int32_t> tokens,
                             std::span<const std::uint8_t> mask) {
  TRM_CHECK(mask.empty() || mask.size() == tokens.size(), "a mask of {} for {} tokens",
            mask.size(), tokens.size());
  tokens_ += std::ssize(tokens);
  document_tokens_ += std::ssize(tokens);
  while (!tokens.empty()) {
    const std::size_t n = std::min(kChunk - token_buffer_.size(), tokens.size());
    token_buffer_.insert(token_buffer_.end(), tokens.begin(),
                         tokens.begin() + static_cast<std::ptrdiff_t>(n));
    tokens = tokens.subspan(n);
    if (format_.loss_mask) {
      if (mask.empty()) {
        mask_buffer_.resize(token_buffer_.size(), 1);
      } else {
        mask_buffer_.insert(mask_buffer_.end(), mask.begin(),
                            mask.begin() + static_cast<std::ptrdiff_t>(n));
        mask = mask.subspan(n);
      }
    }
    if (token_buffer_.size() == kChunk) flush_tokens();
  }
}

void TokenFileWriter::end_document(bool end_counts, double label) {
  if (document_tokens_ == 0) {
    ++dropped_;
    return;
  }
  if (format_.append_end) {
    const std::uint8_t counts = end_counts ? 1 : 0;
    append({&end_of_document_, 1}, {&counts, 1});
  }
  document_tokens_ = 0;
  ++documents_;
  document_buffer_.push_back(static_cast<std::uint64_t>(tokens_));
  if (document_buffer_.size() == kDocumentChunk) flush_documents();
  if (format_.kind != "labelled") return;
  label_buffer_.push_back(label);
  if (label_buffer_.size() == kDocumentChunk) flush_labels();
}

void TokenFileWriter::drop_document() {
  const std::int64_t start = tokens_ - document_tokens_;
  const std::int64_t written = tokens_ - std::ssize(token_buffer_);
  tokens_ = start;
  document_tokens_ = 0;
  if (start >= written) {
    token_buffer_.resize(static_cast<std::size_t>(start - written));
    if (format_.loss_mask) mask_buffer_.resize(token_buffer_.size());
    return;
  }
  if (wide_) {
    const auto part = take_back<std::uint32_t>(token_data_, token_checksums_, start);
    token_buffer_.assign(part.begin(), part.end());
  } else {
    const auto part = take_back<std::uint16_t>(token_data_, token_checksums_, start);
    token_buffer_.assign(part.begin(), part.end());
  }
  if (format_.loss_mask) {
    mask_buffer_ = take_back<std::uint8_t>(mask_data_, mask_checksums_, start);
  }
}

void TokenFileWriter::flush_tokens() {
  if (token_buffer_.empty()) return;
  if (wide_) {
    put(token_data_, token_checksums_, token_buffer_);
  } else {
    narrow_buffer_.resize(token_buffer_.size());
    for (std::size_t i = 0; i < token_buffer_.size(); ++i) {
      narrow_buffer_[i] = static_cast<std::uint16_t>(token_buffer_[i]);
    }
    put(token_data_, token_checksums_, narrow_buffer_);
  }
  token_buffer_.clear();
  if (format_.loss_mask) put(mask_data_, mask_checksums_, mask_buffer_);
  mask_buffer_.clear();
}

void TokenFileWriter::flush_documents() {
  if (!document_buffer_.empty()) put(document_data_, document_checksums_, document_buffer_);
  document_buffer_.clear();
}

void TokenFileWriter::flush_labels() {
  if (!label_buffer_.empty()) put(label_data_, label_checksums_, label_buffer_);
  label_buffer_.clear();
}

void TokenFileWriter::finish(const std::string& source_hash,
                             const std::vector<std::string>& label_names) {
  TRM_CHECK(document_tokens_ == 0, "{}: finish() within a document", path_);
  TRM_REQUIRE(tokens_ > 0, "{}: nothing to write: there is no text in the input", path_);
  flush_tokens();
  flush_documents();
  flush_labels();
  file_.set_attribute("source_hash", source_hash);
  std::vector<h5::Extent> data;
  const auto close = [&](const char* name, h5::Dataset& dataset, std::int64_t block,
                         const std::vector<std::int64_t>& checksums) {
    write_checksums(file_, name, block, checksums);
    const std::vector<h5::Extent> extents = dataset.extents();
    data.insert(data.end(), extents.begin(), extents.end());
    dataset = {};
  };
  close("tokens", token_data_, kTokenChunk, token_checksums_);
  close("documents", document_data_, kDocumentChunk, document_checksums_);
  if (format_.loss_mask) close("loss_mask", mask_data_, kTokenChunk, mask_checksums_);
  if (format_.kind == "labelled") {
    close("labels", label_data_, kDocumentChunk, label_checksums_);
    if (!label_names.empty()) file_.write_texts("label_names", label_names);
  }
  file_.close();
  h5::Seal seal = kTokenSeal;
  seal.version = version_;
  h5::write_seal(replacement_.temporary(), seal, std::move(data));
  replacement_.commit(Durability::power);
}

}  // namespace trireme
