// SPDX-License-Identifier: Apache-2.0
// Reads token files, with every check that a foreign file needs.
#include "trireme/data/token_file.hpp"

#include <algorithm>
#include <limits>

namespace trireme {

namespace {

constexpr std::string_view kFormat = "trireme-tokens";

}  // namespace

TokenFile::TokenFile(const std::string& path, DocumentCheck check)
    : path_(path), file_(path, h5::Mode::read) {
  TRM_REQUIRE(file_.has_attribute("format") && file_.text("format") == kFormat,
              "{}: not a token file (`trireme prepare` makes them from text)", path);
  read_attributes();
  // Samples lie anywhere in the file. Without a chunk cache, only a sample's own bytes are
  // read.
  token_data_ = file_.dataset("tokens", 0);
  document_data_ =
      file_.dataset("documents", 0);  // read in order, once, and at borders of parts
  TRM_REQUIRE(token_data_.shape().rank() == 1 &&
                  (token_data_.dtype() == DType::u16 || token_data_.dtype() == DType::u32),
              "{}: it must be 1-D of u16 or u32, but is {} of {}", token_data_.where(),
              token_data_.shape().str(), name_of(token_data_.dtype()));
  TRM_REQUIRE(document_data_.shape().rank() == 1 && document_data_.dtype() == DType::u64,
              "{}: it must be 1-D of u64, but is {} of {}", document_data_.where(),
              document_data_.shape().str(), name_of(document_data_.dtype()));
  tokens_ = token_data_.shape().count();
  documents_ = document_data_.shape().count() - 1;
  TRM_REQUIRE(documents_ >= 0, "{}: the dataset is empty", document_data_.where());
  if (check == DocumentCheck::all) check_documents();
}

void TokenFile::read_attributes() {
  const std::int64_t version = file_.integer("format_version");
  TRM_REQUIRE(version == kTokenFormatVersion,
              "{}: token format version {}, but this program reads {}", path_, version,
              kTokenFormatVersion);
  vocab_size_ = file_.integer("vocab_size");
  TRM_REQUIRE(vocab_size_ > 0 && vocab_size_ <= std::numeric_limits<std::int32_t>::max(),
              "{}: a vocabulary of {} is not possible", path_, vocab_size_);
  const std::int64_t end = file_.integer("end_of_document");
  TRM_REQUIRE(end >= 0 && end < vocab_size_,
              "{}: end-of-document id {} is not in the vocabulary of {}", path_, end,
              vocab_size_);
  end_of_document_ = static_cast<std::int32_t>(end);
  tokenizer_kind_ = file_.text("tokenizer");
  tokenizer_definition_ = file_.text("tokenizer_definition");
  source_hash_ = file_.text("source_hash");
}

void TokenFile::check_documents() const {
  constexpr std::int64_t kStep = 1 << 17;  // 1 MiB
  std::vector<std::uint64_t> part(static_cast<std::size_t>(std::min(kStep, documents_ + 1)));
  std::uint64_t last = 0;
  for (std::int64_t at = 0; at <= documents_; at += kStep) {
    const std::int64_t n = std::min(kStep, documents_ + 1 - at);
    document_data_.read(Box(Shape{at}, Shape{n}), View(part.data(), DType::u64, Shape{n}));
    TRM_REQUIRE(at > 0 || part[0] == 0, "{}: the dataset does not start at 0",
                document_data_.where());
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint64_t offset = part[static_cast<std::size_t>(i)];
      TRM_REQUIRE(offset >= last, "{}: offset {} is {}, below the one before it, {}",
                  document_data_.where(), at + i, offset, last);
      TRM_REQUIRE(offset <= static_cast<std::uint64_t>(tokens_),
                  "{}: offset {} is {}, but there are {} tokens", document_data_.where(),
                  at + i, offset, tokens_);
      last = offset;
    }
  }
  TRM_REQUIRE(last == static_cast<std::uint64_t>(tokens_),
              "{}: the last document ends at {}, but there are {} tokens",
              document_data_.where(), last, tokens_);
}

std::int64_t TokenFile::document_start(std::int64_t i) const {
  std::uint64_t offset = 0;
  document_data_.read(Box(Shape{i}, Shape{1}), View(&offset, DType::u64, Shape{1}));
  return static_cast<std::int64_t>(offset);
}

void TokenFile::read(std::int64_t offset, std::span<std::int32_t> to) const {
  const auto n = static_cast<std::int64_t>(to.size());
  // uint32 is read unchanged into int32; ids outside the vocabulary are caught below.
  const DType as = token_data_.dtype() == DType::u32 ? DType::u32 : DType::i32;
  token_data_.read(Box(Shape{offset}, Shape{n}), View(to.data(), as, Shape{n}));
  const auto limit = static_cast<std::uint32_t>(vocab_size_);
  const auto bad = std::find_if(to.begin(), to.end(), [limit](std::int32_t id) {
    return static_cast<std::uint32_t>(id) >= limit;
  });
  TRM_REQUIRE(bad == to.end(), "{}: token {} has id {}, but the vocabulary ends at {}", path_,
              offset + (bad - to.begin()), static_cast<std::uint32_t>(*bad), vocab_size_ - 1);
}

}  // namespace trireme
