// SPDX-License-Identifier: Apache-2.0
// How documents fill samples, with the words and meaning of GPT-NeoX's pack_impl.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/data/sampler.hpp"
#include "trireme/data/token_source.hpp"

namespace trireme {

enum class Packing : std::uint8_t {
  packed,          ///< documents end to end, wherever samples end
  until_overflow,  ///< whole documents, until the next does not fit; the rest is padding
  unpacked         ///< one document a sample; the rest is padding
};

struct PackingRule {
  Packing packing = Packing::packed;
  /// Whether documents that are longer than a sample lose their end; otherwise they are left
  /// out. Without effect on Packing::packed.
  bool allow_chopped = true;
  /// Whether a sample has a token more than seq_length: the last target.
  bool next_token = true;
};

/// Documents [begin, end) of a file.
struct DocumentRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t count() const { return end - begin; }
};

/// The tokens of each sample of some documents of a file. Documents keep the file's order.
class SamplePacker {
 public:
  /// With PackingRule::next_token, a sample has `seq_length` + 1 tokens, and packed samples
  /// overlap by one. Reads the offset of each document, except with Packing::packed.
  SamplePacker(const TokenSource& source, const DocumentRange& documents,
               const PackingRule& rule, std::int64_t seq_length);

  [[nodiscard]] std::int64_t samples() const { return samples_; }
  [[nodiscard]] std::int64_t tokens() const { return all_.count(); }
  /// Documents that were left out because they are longer than a sample.
  [[nodiscard]] std::int64_t too_long() const { return too_long_; }
  /// The ranges of tokens, in order, that fill sample i from its beginning.
  [[nodiscard]] std::vector<TokenRange> ranges(std::int64_t i) const;
  /// The document that is sample i, with Packing::unpacked.
  [[nodiscard]] std::int64_t document(std::int64_t i) const {
    return numbers_.empty() ? first_document_ + i : numbers_[static_cast<std::size_t>(i)];
  }

 private:
  void pack(const TokenSource& source, const DocumentRange& documents, bool allow_chopped);

  Packing packing_;
  std::int64_t seq_length_;
  std::int64_t room_;  ///< tokens of a sample
  TokenRange all_;
  std::int64_t samples_ = 0;
  std::int64_t too_long_ = 0;
  std::vector<TokenRange> documents_;  ///< in samples; empty with Packing::packed
  std::vector<std::int64_t> first_;    ///< index in documents_, for each sample and the end
  std::int64_t first_document_ = 0;
  std::vector<std::int64_t> numbers_;  ///< each sample's document; empty if all are samples
};

}  // namespace trireme
