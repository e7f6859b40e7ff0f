// SPDX-License-Identifier: Apache-2.0
// Small token files for tests.
#pragma once

#include <string>
#include <vector>

#include "trireme/data/token_file.hpp"

namespace trireme::test {

/// Bytes as tokens with a vocabulary of any size: 2-byte and 4-byte files.
class WideTokenizer : public ByteTokenizer {
 public:
  explicit WideTokenizer(std::int64_t vocab_size) : vocab_size_(vocab_size) {}
  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }

 private:
  std::int64_t vocab_size_;
};

/// Writes `documents` of tokens; the writer appends the end of each document.
inline void make_token_file(const std::string& path,
                            const std::vector<std::vector<std::int32_t>>& documents,
                            std::int64_t vocab_size = 257) {
  const WideTokenizer tokenizer(vocab_size);
  TokenFileWriter writer(path, tokenizer);
  for (const auto& document : documents) {
    writer.append(document);
    writer.end_document();
  }
  writer.finish("0123456789abcdef");
}

/// Writes a file of format version 1, which has no checksums.
inline void make_old_token_file(const std::string& path,
                                const std::vector<std::vector<std::int32_t>>& documents) {
  const ByteTokenizer tokenizer;
  std::vector<std::uint16_t> tokens;
  std::vector<std::uint64_t> offsets{0};
  for (const auto& document : documents) {
    for (const std::int32_t id : document) tokens.push_back(static_cast<std::uint16_t>(id));
    tokens.push_back(static_cast<std::uint16_t>(tokenizer.end_of_document()));
    offsets.push_back(tokens.size());
  }
  h5::File file(path, h5::Mode::create);
  file.set_attribute("format", "trireme-tokens");
  file.set_attribute("format_version", 1);
  file.set_attribute("vocab_size", tokenizer.vocab_size());
  file.set_attribute("end_of_document", tokenizer.end_of_document());
  file.set_attribute("tokenizer", tokenizer.kind());
  file.set_attribute("tokenizer_definition", tokenizer.definition());
  file.set_attribute("source_hash", "0123456789abcdef");
  const auto write = [&](const std::string& name, const auto& data, DType dtype) {
    const Shape shape{std::ssize(data)};
    file.create_dataset(name, dtype, Shape{0}, {.extendable = true, .chunk = 1 << 13})
        .append(ConstView(data.data(), dtype, shape));
  };
  write("tokens", tokens, DType::u16);
  write("documents", offsets, DType::u64);
  file.close();
}

}  // namespace trireme::test
