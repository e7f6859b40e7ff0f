// SPDX-License-Identifier: Apache-2.0
// Writes indexed data byte for byte as Megatron's MMapIndexedDatasetBuilder does.
#include <cerrno>
#include <cstdio>
#include <limits>
#include <numeric>
#include <utility>

#include "trireme/core/error.hpp"
#include "trireme/data/megatron_file.hpp"

#include "megatron_types.hpp"

namespace trireme {

/// A file under a temporary name.
struct MegatronWriter::Output {
  explicit Output(const std::string& path)
      : replacement(path), file(std::fopen(replacement.temporary().c_str(), "wb")) {
    TRM_REQUIRE_SYSTEM(file != nullptr, errno, "{}: cannot create", path);
  }
  ~Output() {
    if (file != nullptr) static_cast<void>(std::fclose(file));
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  Replacement replacement;  ///< before the file, which is closed first
  std::FILE* file;
};

MegatronWriter::MegatronWriter(const std::string& prefix, std::uint8_t code)
    : code_(code),
      width_(megatron_width(prefix, code)),
      data_(std::make_unique<Output>(prefix + ".bin")),
      index_(std::make_unique<Output>(prefix + ".idx")) {}

MegatronWriter::~MegatronWriter() = default;

void MegatronWriter::write(Output& output, const void* data, std::int64_t bytes) {
  const auto count = static_cast<std::size_t>(bytes);
  TRM_REQUIRE_SYSTEM(std::fwrite(data, 1, count, output.file) == count, errno,
                     "{}: cannot write", output.replacement.temporary());
}

void MegatronWriter::append(std::span<const std::int32_t> tokens) {
  with_megatron_type(code_, [&]<class T>(T) {
    std::vector<T> stored(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      TRM_REQUIRE(std::in_range<T>(tokens[i]),
                  "{}: id {} does not fit into {} bytes; choose a wider type",
                  data_->replacement.temporary(), tokens[i], width_);
      stored[i] = static_cast<T>(tokens[i]);
    }
    write(*data_, stored.data(), std::ssize(stored) * width_);
  });
  document_tokens_ += std::ssize(tokens);
}

void MegatronWriter::end_document() {
  TRM_REQUIRE(document_tokens_ <= std::numeric_limits<std::int32_t>::max(),
              "a document of {} tokens is longer than Megatron's format allows",
              document_tokens_);
  sizes_.push_back(static_cast<std::int32_t>(document_tokens_));
  document_tokens_ = 0;
}

void MegatronWriter::finish() {
  TRM_CHECK(document_tokens_ == 0, "finish() within a document");
  Output& index = *index_;
  const auto number = [&](std::uint64_t x) { write(index, &x, sizeof x); };
  write(index, kMegatronMagic.data(), std::ssize(kMegatronMagic));
  number(1);
  write(index, &code_, sizeof code_);
  number(sizes_.size());
  number(sizes_.size() + 1);
  write(index, sizes_.data(), std::ssize(sizes_) * 4);
  std::int64_t at = 0;
  for (const std::int32_t size : sizes_) {
    number(static_cast<std::uint64_t>(at));
    at += size * width_;
  }
  for (std::size_t i = 0; i <= sizes_.size(); ++i) number(i);
  for (Output* output : {data_.get(), index_.get()}) {
    const int closed = std::fclose(std::exchange(output->file, nullptr));
    TRM_REQUIRE_SYSTEM(closed == 0, errno, "{}: cannot write", output->replacement.temporary());
    output->replacement.commit(Durability::power);
  }
}

}  // namespace trireme
