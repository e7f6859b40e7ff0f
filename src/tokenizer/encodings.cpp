// SPDX-License-Identifier: Apache-2.0
// The patterns and special tokens that go with published .tiktoken files.
#include "encodings.hpp"

#include <array>

#include <fmt/format.h>

#include "scanner.hpp"

namespace trireme {

namespace {

constexpr std::string_view kEnd = "<|endoftext|>";

SpecialTokens gpt2_special() { return {{"<|endoftext|>", 50256}}; }

SpecialTokens cl100k_special() {
  return {{"<|endoftext|>", 100257},
          {"<|fim_prefix|>", 100258},
          {"<|fim_middle|>", 100259},
          {"<|fim_suffix|>", 100260},
          {"<|endofprompt|>", 100276}};
}

SpecialTokens o200k_special() {
  return {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}};
}

SpecialTokens llama3_special() {
  constexpr std::int32_t kFirst = 128000;
  constexpr std::int32_t kCount = 256;
  SpecialTokens tokens;
  std::int32_t reserved = 0;
  for (std::int32_t i = 0; i < kCount; ++i) {
    std::string name;
    switch (i) {
      case 0:
        name = "<|begin_of_text|>";
        break;
      case 1:
        name = "<|end_of_text|>";
        break;
      case 6:
        name = "<|start_header_id|>";
        break;
      case 7:
        name = "<|end_header_id|>";
        break;
      case 9:
        name = "<|eot_id|>";
        break;
      default:
        name = fmt::format("<|reserved_special_token_{}|>", reserved++);
    }
    tokens.emplace_back(std::move(name), kFirst + i);
  }
  return tokens;
}

SpecialTokens qwen_special() {
  constexpr std::int32_t kFirst = 151643;
  constexpr std::int32_t kExtra = 205;
  SpecialTokens tokens{
      {"<|endoftext|>", kFirst}, {"<|im_start|>", kFirst + 1}, {"<|im_end|>", kFirst + 2}};
  for (std::int32_t i = 0; i < kExtra; ++i) {
    tokens.emplace_back(fmt::format("<|extra_{}|>", i), kFirst + 3 + i);
  }
  return tokens;
}

const std::array<Encoding, 6> kEncodings{{
    {"r50k", kTiktokenR50kPattern, kEnd, gpt2_special, 50256, 0},
    {"p50k", kTiktokenR50kPattern, kEnd, gpt2_special, 50280, 0x3b4b35a4abbd4ad4},
    {"cl100k", kTiktokenCl100kPattern, kEnd, cl100k_special, 100256, 0x356551a906b1fdee},
    {"o200k", kO200kPattern, kEnd, o200k_special, 199998, 0xe9b0d7030f3deddc},
    {"llama3", kCl100kPattern, "<|end_of_text|>", llama3_special, 128000, 0},
    {"qwen", kQwenPattern, kEnd, qwen_special, 151643, 0xb5e2c26f6b9eb5e6},
}};

}  // namespace

std::span<const Encoding> encodings() { return kEncodings; }

std::uint64_t fingerprint_of(std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

}  // namespace trireme
