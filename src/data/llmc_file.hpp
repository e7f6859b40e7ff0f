// SPDX-License-Identifier: Apache-2.0
// Shards of llm.c: 256 int32 of header, then the tokens. The header begins with a magic number,
// a version and the number of tokens. 20240520 and version 1 stand for uint16 and GPT-2,
// 20240801 and version 7 for uint32 and Llama 3.
#pragma once

#include "trireme/data/token_source.hpp"

namespace trireme {

class BinaryFile;

/// Whether a readable file begins as a shard of llm.c does.
[[nodiscard]] bool is_llmc_file(const std::string& path);

/// A shard, which is one document, because the format has no list of documents.
class LlmcFile : public TokenSource {
 public:
  /// Throws Error if the header and the file's size contradict each other. Without `given`, the
  /// vocabulary is that of the model that the header stands for.
  LlmcFile(const std::string& path, const TokenFacts& given);
  ~LlmcFile() override;

  [[nodiscard]] const std::string& path() const override;
  [[nodiscard]] std::string format() const override { return "shard of llm.c"; }
  [[nodiscard]] std::int64_t tokens() const override { return tokens_; }
  [[nodiscard]] std::int64_t documents() const override { return 1; }
  [[nodiscard]] std::int64_t token_bytes() const override { return width_; }
  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }
  [[nodiscard]] std::int32_t end_of_document() const override { return end_of_document_; }
  [[nodiscard]] const std::string& tokenizer_kind() const override { return none_; }
  [[nodiscard]] const std::string& tokenizer_definition() const override { return none_; }
  [[nodiscard]] const std::string& source_hash() const override { return source_hash_; }
  [[nodiscard]] std::int64_t document_start(std::int64_t i) const override;
  void read(std::int64_t offset, std::span<std::int32_t> to) const override;
  void verify(const std::function<void(std::int64_t bytes)>& progress) const override;

 private:
  std::unique_ptr<BinaryFile> file_;
  std::int64_t tokens_ = 0;
  std::int64_t width_ = 0;  ///< bytes of a token
  std::int64_t vocab_size_ = 0;
  std::int32_t end_of_document_ = -1;
  std::string source_hash_;
  std::string none_;
};

}  // namespace trireme
