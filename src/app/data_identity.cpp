// SPDX-License-Identifier: Apache-2.0
// Hashes what token files say of themselves.
#include "data_identity.hpp"

#include <cstdint>

#include "trireme/data/megatron_file.hpp"

namespace trireme {

namespace {

/// FNV-1a over the text and a mark of its end.
void hash(std::uint64_t& sum, const std::string& text) {
  const auto add = [&sum](unsigned char byte) { sum = (sum ^ byte) * 0x100000001b3U; };
  for (const char c : text) add(static_cast<unsigned char>(c));
  add(0);
}

}  // namespace

std::string data_identity(const Samples& samples) {
  std::uint64_t sum = 0xcbf29ce484222325U;
  std::int64_t tokens = 0;
  std::int64_t documents = 0;
  for (std::size_t i = 0; i < samples.files(); ++i) {
    const TokenSource& file = samples.file(i);
    tokens += file.tokens();
    documents += file.documents();
    hash(sum, file.source_hash());
    if (samples.labels(i) != nullptr) hash(sum, samples.labels(i)->source_hash());
    hash(sum, file.tokenizer_kind());
    hash(sum, file.tokenizer_definition());
    hash(sum, fmt::format("{} {} {} {}", file.tokens(), file.documents(), file.vocab_size(),
                          file.end_of_document()));
  }
  return fmt::format("{} file{} of {} tokens in {} documents, content {:016x}", samples.files(),
                     samples.files() == 1 ? "" : "s", tokens, documents, sum);
}

void add_identity(std::string& all, const std::string& part, const Samples& samples) {
  all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", part, data_identity(samples));
}

}  // namespace trireme
