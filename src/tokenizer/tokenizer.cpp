// SPDX-License-Identifier: Apache-2.0
// The tokenizer of single bytes.
#include "trireme/tokenizer/tokenizer.hpp"

#include "trireme/core/error.hpp"

namespace trireme {

void ByteTokenizer::encode(std::string_view text, std::vector<std::int32_t>& to) const {
  const std::size_t n = to.size();
  to.resize(n + text.size());
  for (std::size_t i = 0; i < text.size(); ++i) to[n + i] = static_cast<unsigned char>(text[i]);
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  text.reserve(ids.size());
  for (const std::int32_t id : ids) {
    TRM_REQUIRE(id >= 0 && id < vocab_size(), "token id {} is not in a vocabulary of {}", id,
                vocab_size());
    if (id != end_of_document()) text += static_cast<char>(id);
  }
  return text;
}

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& kind,
                                          const std::string& definition) {
  TRM_REQUIRE(kind == "bytes", "tokenizer \"{}\" is not known; the only kind is: bytes", kind);
  TRM_REQUIRE(definition.empty(), "the tokenizer \"bytes\" takes no definition");
  return std::make_unique<ByteTokenizer>();
}

}  // namespace trireme
