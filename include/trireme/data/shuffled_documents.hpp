// SPDX-License-Identifier: Apache-2.0
// ShuffledDocuments: documents in a random order that depends on seed and number alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trireme/data/token_file.hpp"

namespace trireme {

class ScratchFile;

struct ShuffleOptions {
  std::string folder{"."};  ///< for temporary files, which take the size of the output
  std::uint64_t seed = 0;
  int group = 1;                    ///< consecutive documents that stay together
  bool wide = true;                 ///< tokens need more than 2 bytes
  std::int64_t memory = 128 << 20;  ///< for the documents that are sorted at once
};

/// Documents go to files by the first bits of their random key, and from each file to the sink
/// in the order of whole keys. A file larger than memory is divided once more.
class ShuffledDocuments : public DocumentSink {
 public:
  explicit ShuffledDocuments(ShuffleOptions options);
  ~ShuffledDocuments() override;

  void append(std::span<const std::int32_t> tokens,
              std::span<const std::uint8_t> mask = {}) override;
  void end_document(bool end_counts = true, double label = 0) override;
  void drop_document() override;
  [[nodiscard]] std::int64_t document_tokens() const override { return std::ssize(tokens_); }
  /// Gives all documents to `sink`.
  void give(DocumentSink& sink);

 private:
  class Buckets;

  void give(Buckets& buckets, DocumentSink& sink);

  ShuffleOptions options_;
  std::unique_ptr<Buckets> buckets_;
  std::vector<std::int32_t> tokens_;  ///< the current document's
  std::vector<std::uint8_t> mask_;
  std::string record_;  ///< documents of the current group
  int in_group_ = 0;
  std::uint64_t groups_ = 0;
};

}  // namespace trireme
