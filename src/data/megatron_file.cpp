// SPDX-License-Identifier: Apache-2.0
// Reads indexed data of Megatron and GPT-NeoX, with every check that a foreign file needs.
#include "trireme/data/megatron_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>

#include "trireme/core/error.hpp"
#include "trireme/data/binary_file.hpp"

#include "megatron_types.hpp"
#include "wide_tokens.hpp"

namespace trireme {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr std::int64_t kNumbersAtOnce = 1 << 17;  // numbers read at once

template <class T>
std::vector<T> read_numbers_at(const BinaryFile& file, std::int64_t at, std::int64_t count) {
  std::vector<T> numbers(static_cast<std::size_t>(count));
  file.read(at, numbers.data(), count * static_cast<std::int64_t>(sizeof(T)));
  return numbers;
}

/// First bytes of the arrays in PREFIX.idx.
std::int64_t offsets_at(const MegatronHeader& h) { return kMegatronHead + 4 * h.sequences; }
std::int64_t document_index_at(const MegatronHeader& h) {
  return kMegatronHead + 12 * h.sequences;
}

}  // namespace

MegatronFile::MegatronFile(const std::string& prefix, DocumentCheck check,
                           const TokenFacts& given)
    : prefix_(prefix),
      given_(given),
      index_(std::make_unique<BinaryFile>(prefix + ".idx")),
      data_(std::make_unique<BinaryFile>(prefix + ".bin")),
      header_(read_header()) {
  TRM_REQUIRE(data_->bytes() % header_.width == 0,
              "{}: {} bytes are no whole number of tokens of {} bytes, which {} says they are",
              data_->path(), data_->bytes(), header_.width, index_->path());
  tokens_ = data_->bytes() / header_.width;
  source_hash_ =
      fmt::format("Megatron {:016x} {:016x}", index_->sampled_hash(), data_->sampled_hash());
  if (check == DocumentCheck::none) return;
  check_sequences();
  check_document_index();
}

MegatronFile::~MegatronFile() = default;

MegatronHeader MegatronFile::read_header() const {
  const std::string& where = index_->path();
  std::array<char, kMegatronHead> head{};
  index_->read(0, head.data(), std::min(index_->bytes(), kMegatronHead));
  const std::string_view magic(head.data(), kMegatronMagic.size());
  TRM_REQUIRE(!magic.starts_with("TNTIDX"),
              "{}: its format is TNTIDX, of data_impl: lazy and cached, which isn't read; "
              "preprocess the text with data_impl: mmap, or with `trireme prepare`",
              where);
  TRM_REQUIRE(magic == kMegatronMagic && index_->bytes() >= kMegatronHead,
              "{}: not an index of Megatron's, which begins with MMIDIDX and has {} bytes of "
              "header",
              where, kMegatronHead);
  std::uint64_t version = 0;
  std::uint64_t sequences = 0;
  std::uint64_t documents = 0;
  std::memcpy(&version, head.data() + 9, sizeof version);
  std::memcpy(&sequences, head.data() + 18, sizeof sequences);
  std::memcpy(&documents, head.data() + 26, sizeof documents);
  TRM_REQUIRE(version == 1, "{}: version {} of the format MMIDIDX, but only 1 is known", where,
              version);
  MegatronHeader h;
  h.code = static_cast<std::uint8_t>(head[17]);
  h.width = megatron_width(where, h.code);
  const auto rest = static_cast<std::uint64_t>(index_->bytes() - kMegatronHead);
  TRM_REQUIRE(sequences <= rest / 12 && documents <= rest / 8,
              "{}: {} sequences and a document index of {} entries are more than its {} bytes "
              "hold",
              where, sequences, documents, index_->bytes());
  const std::uint64_t arrays = 12 * sequences + 8 * documents;
  TRM_REQUIRE(sequences == 0 || arrays + sequences != rest,
              "{}: each sequence has a mode, which only data of several modalities have; they "
              "aren't read",
              where);
  TRM_REQUIRE(arrays == rest,
              "{}: {} sequences and a document index of {} entries take {} bytes, but the file "
              "has {}",
              where, sequences, documents, kMegatronHead + arrays, index_->bytes());
  h.sequences = static_cast<std::int64_t>(sequences);
  h.document_index = static_cast<std::int64_t>(documents);
  return h;
}

void MegatronFile::check_sequences() const {
  std::int64_t end = 0;  // bytes
  for (std::int64_t at = 0; at < header_.sequences; at += kNumbersAtOnce) {
    const std::int64_t n = std::min(kNumbersAtOnce, header_.sequences - at);
    const auto sizes = read_numbers_at<std::int32_t>(*index_, kMegatronHead + 4 * at, n);
    const auto offsets =
        read_numbers_at<std::int64_t>(*index_, offsets_at(header_) + 8 * at, n);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t size = sizes[static_cast<std::size_t>(i)];
      const std::int64_t offset = offsets[static_cast<std::size_t>(i)];
      TRM_REQUIRE(size >= 0, "{}: sequence {} has {} tokens", index_->path(), at + i, size);
      TRM_REQUIRE(offset == end,
                  "{}: sequence {} begins at byte {}, but the one before it ends at byte {}",
                  index_->path(), at + i, offset, end);
      TRM_REQUIRE(size <= (data_->bytes() - end) / header_.width,
                  "{}: sequence {} has {} tokens from byte {} on, but {} has {} bytes",
                  index_->path(), at + i, size, offset, data_->path(), data_->bytes());
      end += size * header_.width;
    }
  }
  TRM_REQUIRE(end == data_->bytes(), "{}: its sequences take {} bytes, but {} has {}",
              index_->path(), end, data_->path(), data_->bytes());
}

void MegatronFile::check_document_index() const {
  const std::int64_t count = header_.document_index;
  TRM_REQUIRE(count > 0, "{}: the document index is empty", index_->path());
  std::int64_t last = 0;
  for (std::int64_t at = 0; at < count; at += kNumbersAtOnce) {
    const auto entries = read_numbers_at<std::int64_t>(
        *index_, document_index_at(header_) + 8 * at, std::min(kNumbersAtOnce, count - at));
    TRM_REQUIRE(at > 0 || entries[0] == 0, "{}: the document index begins with {}, not 0",
                index_->path(), entries[0]);
    for (const std::int64_t entry : entries) {
      TRM_REQUIRE(entry >= last && entry <= header_.sequences,
                  "{}: the document index has {} after {}, but there are {} sequences",
                  index_->path(), entry, last, header_.sequences);
      last = entry;
    }
  }
  TRM_REQUIRE(last == header_.sequences,
              "{}: the document index ends with {}, but there are {} sequences", index_->path(),
              last, header_.sequences);
}

bool MegatronFile::plain_documents() const {
  if (header_.document_index != header_.sequences + 1) return false;
  for (std::int64_t at = 0; at <= header_.sequences; at += kNumbersAtOnce) {
    const auto entries =
        read_numbers_at<std::int64_t>(*index_, document_index_at(header_) + 8 * at,
                                      std::min(kNumbersAtOnce, header_.document_index - at));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries[i] != at + static_cast<std::int64_t>(i)) return false;
    }
  }
  return true;
}

std::int64_t MegatronFile::document_start(std::int64_t i) const {
  TRM_CHECK(i >= 0 && i <= header_.sequences, "document {} of {}", i, header_.sequences);
  if (i == header_.sequences) return tokens_;
  std::int64_t offset = 0;
  index_->read(offsets_at(header_) + 8 * i, &offset, sizeof offset);
  TRM_REQUIRE(offset >= 0 && offset <= data_->bytes() && offset % header_.width == 0,
              "{}: sequence {} begins at byte {}, but {} has {} bytes", index_->path(), i,
              offset, data_->path(), data_->bytes());
  return offset / header_.width;
}

void MegatronFile::read_numbers(std::int64_t offset, std::span<std::int32_t> to) const {
  const auto n = static_cast<std::int64_t>(to.size());
  TRM_CHECK(offset >= 0 && offset <= tokens_ - n, "{}: {} tokens at {} of {}", prefix_, n,
            offset, tokens_);
  with_megatron_type(header_.code, [&]<class T>(T) {
    read_wide<T>(*data_, offset * header_.width, offset, to);
  });
}

void MegatronFile::read(std::int64_t offset, std::span<std::int32_t> to) const {
  read_numbers(offset, to);
  require_vocabulary(data_->path(), offset, to, given_.vocab_size);
}

void MegatronFile::verify(const std::function<void(std::int64_t bytes)>& progress) const {
  check_sequences();
  check_document_index();
  progress(index_->bytes());
  std::vector<std::int32_t> part;
  for (std::int64_t at = 0; at < tokens_; at += kNumbersAtOnce) {
    part.resize(static_cast<std::size_t>(std::min(kNumbersAtOnce, tokens_ - at)));
    read(at, part);
    progress(std::ssize(part) * header_.width);
  }
}

}  // namespace trireme
