// SPDX-License-Identifier: Apache-2.0
// Finds out what a tokenizer's file or folder holds.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

#include "fields.hpp"
#include "hugging_face.hpp"
#include "ranks.hpp"
#include "sentence_piece.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kLargestFile = 256U << 20U;

std::string contents_of(const std::string& path) {
  require_file(path);
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(path, error);
  TRM_REQUIRE_SYSTEM(!error, error.value(), "{}: cannot read", path);
  TRM_REQUIRE(bytes <= kLargestFile, "{}: a file of {} bytes is no tokenizer", path, bytes);
  std::ifstream in(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(bytes), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  TRM_REQUIRE(in.good(), "{}: cannot read", path);
  return text;
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

/// A token that a Hugging Face file names by itself or as the content of an object.
std::string named_token(const nlohmann::json& config, const std::string& name) {
  const auto found = config.find(name);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_object() && found->contains("content") && (*found)["content"].is_string()
             ? (*found)["content"].get<std::string>()
             : "";
}

/// The token that ends a document, as the folder's tokenizer_config.json names it.
std::string end_from(const fs::path& folder) {
  const fs::path path = folder / "tokenizer_config.json";
  if (!is_file(path)) return "";
  const nlohmann::json config = parse_json(contents_of(path.string()), path.string());
  return config.is_object() ? named_token(config, "eos_token") : "";
}

/// The file of a folder that defines the tokenizer.
std::string file_in(const std::string& folder) {
  static constexpr std::array<const char*, 5> kNames = {
      "tokenizer.json", "tekken.json", "vocab.json", "tokenizer.model", "qwen.tiktoken"};
  for (const char* const name : kNames) {
    if (is_file(fs::path(folder) / name)) return (fs::path(folder) / name).string();
  }
  std::vector<std::string> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::string kind = entry.path().extension().string();
    if (kind == ".tiktoken" || kind == ".model" || name.starts_with("tekken")) {
      found.push_back(entry.path().string());
    }
  }
  TRM_REQUIRE_SYSTEM(!error, error.value(), "{}: cannot read the folder", folder);
  std::sort(found.begin(), found.end());
  TRM_REQUIRE(!found.empty(), "{}: this folder holds no tokenizer, such as {}", folder,
              fmt::join(kNames, ", "));
  TRM_REQUIRE(found.size() == 1, "{}: this folder holds several tokenizers: name one of {}",
              folder, fmt::join(found, ", "));
  return found.front();
}

std::unique_ptr<Tokenizer> open_json(const std::string& path, const std::string& text,
                                     const TokenizerSource& source) {
  nlohmann::json spec = parse_json(text, path);
  TRM_REQUIRE(spec.is_object(), "{}: the JSON of a tokenizer must be an object", path);
  if (spec.contains("config") && spec.contains("vocab") && spec["vocab"].is_array()) {
    return read_tekken(spec, source.end_of_document, path, source.allow_special);
  }
  const fs::path folder = fs::path(path).parent_path();
  const std::string end =
      source.end_of_document.empty() ? end_from(folder) : source.end_of_document;
  if (spec.contains("model") && spec["model"].is_object()) {
    return make_hugging_face(std::move(spec), end, path);
  }
  const bool is_vocabulary =
      !spec.empty() && std::all_of(spec.begin(), spec.end(),
                                   [](const auto& id) { return id.is_number_integer(); });
  TRM_REQUIRE(is_vocabulary,
              "{}: this JSON is no tokenizer: neither Hugging Face's tokenizer.json, nor "
              "Mistral's tekken.json, nor GPT-2's vocab.json",
              path);
  std::string merges = source.merges;
  if (merges.empty()) merges = (folder / "merges.txt").string();
  TRM_REQUIRE(is_file(merges),
              "{}: the merges of this vocabulary are needed too: {} is missing", path, merges);
  return make_hugging_face(gpt2_spec(std::move(spec), contents_of(merges), merges), end, path);
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerSource& source) {
  std::error_code error;
  const bool exists = fs::exists(source.name, error);
  if (!exists && (source.name == "bytes" || source.name == "characters")) {
    return make_tokenizer(source.name, "");
  }
  TRM_REQUIRE(exists,
              "the tokenizer \"{}\" is neither a file or folder, nor one of: bytes, characters",
              source.name);
  const std::string path =
      fs::is_directory(source.name, error) ? file_in(source.name) : source.name;
  const std::string text = contents_of(path);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') return open_json(path, text, source);
  if (is_tiktoken(text)) {
    return read_tiktoken(text, source.encoding, source.end_of_document, path,
                         source.allow_special);
  }
  TRM_REQUIRE(!source.allow_special || !is_sentence_piece(text),
              "{}: --allow-special has no meaning for a SentencePiece model, whose control "
              "symbols never stand for text",
              path);
  if (is_sentence_piece(text)) return read_sentence_piece(text, path);
  throw Error(
      fmt::format("{}: this file is no tokenizer: neither JSON, nor lines of tokens in "
                  "base64, nor a SentencePiece model",
                  path));
}

}  // namespace trireme
