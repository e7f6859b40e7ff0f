// SPDX-License-Identifier: Apache-2.0
// Reads shards of llm.c.
#include "llmc_file.hpp"

#include <algorithm>
#include <array>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/data/binary_file.hpp"

#include "wide_tokens.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kHeaderBytes = 1024;
constexpr std::int64_t kVerifyStep = 1 << 20;  // tokens

/// A version of the format, and the tokenizer that llm.c writes it with.
struct LlmcVersion {
  std::int32_t magic;
  std::int32_t version;
  std::int64_t width;
  TokenFacts usual;
};
constexpr std::array<LlmcVersion, 2> kVersions{
    {{20240520, 1, 2, {50257, 50256}}, {20240801, 7, 4, {128256, 128000}}}};

const LlmcVersion* version_of(std::int32_t magic) {
  const auto* const found = std::ranges::find(kVersions, magic, &LlmcVersion::magic);
  return found == kVersions.end() ? nullptr : found;
}

}  // namespace

bool is_llmc_file(const std::string& path) {
  if (!other_kind(path).empty()) return false;
  try {
    const BinaryFile file(path);
    if (file.bytes() < static_cast<std::int64_t>(sizeof(std::int32_t))) return false;
    std::int32_t magic = 0;
    file.read(0, &magic, sizeof magic);
    return version_of(magic) != nullptr;
  } catch (const Error&) {
    return false;  // who opens the file in another format says what is wrong
  }
}

LlmcFile::LlmcFile(const std::string& path, const TokenFacts& given)
    : file_(std::make_unique<BinaryFile>(path)) {
  TRM_REQUIRE(file_->bytes() >= kHeaderBytes,
              "{}: a shard of llm.c begins with {} bytes of header, but the file has {}", path,
              kHeaderBytes, file_->bytes());
  std::array<std::int32_t, 3> header{};
  file_->read(0, header.data(), sizeof header);
  const LlmcVersion* version = version_of(header[0]);
  TRM_REQUIRE(version != nullptr, "{}: {} is no magic number of llm.c", path, header[0]);
  TRM_REQUIRE(header[1] == version->version,
              "{}: a shard of llm.c with magic number {} has version {}, but the file has {}",
              path, header[0], version->version, header[1]);
  width_ = version->width;
  tokens_ = header[2];
  TRM_REQUIRE(tokens_ >= 0 && kHeaderBytes + tokens_ * width_ == file_->bytes(),
              "{}: its header counts {} tokens of {} bytes, which with {} bytes of header are "
              "{}, but the file has {} bytes",
              path, tokens_, width_, kHeaderBytes, kHeaderBytes + tokens_ * width_,
              file_->bytes());
  vocab_size_ = given.vocab_size > 0 ? given.vocab_size : version->usual.vocab_size;
  end_of_document_ =
      given.end_of_document >= 0 ? given.end_of_document : version->usual.end_of_document;
  source_hash_ = fmt::format("llm.c {:016x}", file_->sampled_hash());
}

LlmcFile::~LlmcFile() = default;

const std::string& LlmcFile::path() const { return file_->path(); }

std::int64_t LlmcFile::document_start(std::int64_t i) const { return i == 0 ? 0 : tokens_; }

void LlmcFile::read(std::int64_t offset, std::span<std::int32_t> to) const {
  const auto n = static_cast<std::int64_t>(to.size());
  TRM_CHECK(offset >= 0 && offset <= tokens_ - n, "{}: {} tokens at {} of {}", path(), n,
            offset, tokens_);
  const std::int64_t at = kHeaderBytes + offset * width_;
  if (width_ == 2) {
    read_wide<std::uint16_t>(*file_, at, offset, to);
  } else {
    read_wide<std::uint32_t>(*file_, at, offset, to);
  }
  require_vocabulary(path(), offset, to, vocab_size_);
}

void LlmcFile::verify(const std::function<void(std::int64_t bytes)>& progress) const {
  std::vector<std::int32_t> part;
  for (std::int64_t at = 0; at < tokens_; at += kVerifyStep) {
    part.resize(static_cast<std::size_t>(std::min(kVerifyStep, tokens_ - at)));
    read(at, part);
    progress(std::ssize(part) * width_);
  }
}

}  // namespace trireme
