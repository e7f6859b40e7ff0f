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

}  // namespace trireme::test
