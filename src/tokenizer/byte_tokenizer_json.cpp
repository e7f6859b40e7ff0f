// SPDX-License-Identifier: Apache-2.0
// The tokenizer of single bytes in Hugging Face's format.
#include <nlohmann/json.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

#include "byte_alphabet.hpp"

namespace trireme {

std::string byte_tokenizer_json(const std::string& end_of_document) {
  nlohmann::ordered_json vocabulary = nlohmann::ordered_json::object();
  for (int byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<char>(byte);
    std::string name;
    append_as_characters(name, {&c, 1});
    vocabulary[name] = byte;
  }
  // Without a pattern, and with no merges, each byte stays a token.
  const nlohmann::ordered_json byte_level = {{"type", "ByteLevel"},
                                             {"add_prefix_space", false},
                                             {"trim_offsets", false},
                                             {"use_regex", false}};
  const nlohmann::ordered_json end = {
      {"id", ByteTokenizer().end_of_document()}, {"content", end_of_document},
      {"single_word", false},                    {"lstrip", false},
      {"rstrip", false},                         {"normalized", false},
      {"special", true}};
  return nlohmann::ordered_json({{"version", "1.0"},
                                 {"truncation", nullptr},
                                 {"padding", nullptr},
                                 {"added_tokens", {end}},
                                 {"normalizer", nullptr},
                                 {"pre_tokenizer", byte_level},
                                 {"post_processor", nullptr},
                                 {"decoder", byte_level},
                                 {"model",
                                  {{"type", "BPE"},
                                   {"dropout", nullptr},
                                   {"unk_token", nullptr},
                                   {"continuing_subword_prefix", nullptr},
                                   {"end_of_word_suffix", nullptr},
                                   {"fuse_unk", false},
                                   {"byte_fallback", false},
                                   {"ignore_merges", false},
                                   {"vocab", vocabulary},
                                   {"merges", nlohmann::ordered_json::array()}}}})
      .dump();
}

}  // namespace trireme
