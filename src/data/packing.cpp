// SPDX-License-Identifier: Apache-2.0
// Fills samples with documents.
#include "trireme/data/packing.hpp"

#include <algorithm>

namespace trireme {

SamplePacker::SamplePacker(const TokenSource& source, const DocumentRange& documents,
                           const PackingRule& rule, std::int64_t seq_length)
    : packing_(rule.packing),
      seq_length_(seq_length),
      room_(seq_length + (rule.next_token ? 1 : 0)),
      all_{source.document_start(documents.begin), source.document_start(documents.end)} {
  if (packing_ == Packing::packed) {
    samples_ = rule.next_token ? samples_in(all_.count(), seq_length)
                               : std::max<std::int64_t>(all_.count(), 0) / seq_length;
  } else {
    pack(source, documents, rule.allow_chopped);
  }
}

void SamplePacker::pack(const TokenSource& source, const DocumentRange& documents,
                        bool allow_chopped) {
  std::int64_t filled = room_;  // tokens in the sample so far; the first document begins one
  std::int64_t begin = all_.begin;
  for (std::int64_t d = documents.begin; d < documents.end; ++d) {
    const TokenRange document{begin, source.document_start(d + 1)};
    begin = document.end;
    if (document.count() <= 0) continue;
    if (document.count() > room_ && !allow_chopped) {
      ++too_long_;
      continue;
    }
    if (packing_ == Packing::unpacked || filled + document.count() > room_) {
      first_.push_back(std::ssize(documents_));
      filled = 0;
    }
    documents_.push_back(document);
    numbers_.push_back(d);
    filled += document.count();
  }
  samples_ = std::ssize(first_);
  first_.push_back(std::ssize(documents_));
  first_document_ = documents.begin;
  if (std::ssize(numbers_) == documents.count() || packing_ != Packing::unpacked) {
    numbers_.clear();
  }
}

std::vector<TokenRange> SamplePacker::ranges(std::int64_t i) const {
  if (packing_ == Packing::packed) {
    const std::int64_t begin = all_.begin + i * seq_length_;
    return {{begin, begin + room_}};
  }
  const auto at = static_cast<std::size_t>(i);
  std::vector<TokenRange> ranges(documents_.begin() + first_[at],
                                 documents_.begin() + first_[at + 1]);
  // A sample with several documents holds them whole.
  TokenRange& last = ranges.back();
  last.end = std::min(last.end, last.begin + room_);
  return ranges;
}

}  // namespace trireme
