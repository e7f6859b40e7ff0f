// SPDX-License-Identifier: Apache-2.0
// Decides by a name's form.
#include "deck_files.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

/// "jsonl" of book.JSONL and of book.jsonl.gz.
std::string ending(const std::string& file) {
  std::filesystem::path path(file);
  if (path.extension() == ".gz" || path.extension() == ".zst") path = path.stem();
  std::string word = path.extension().string();
  std::ranges::transform(word, word.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word.empty() ? word : word.substr(1);
}

/// Whether a name has the form key=value, where key is a word with dots.
bool is_setting(const std::string& name) {
  const std::size_t equals = name.find('=');
  if (equals == std::string::npos || equals == 0) return false;
  return std::ranges::all_of(name.substr(0, equals), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace

void check_deck_files(const std::string& command, const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    const std::string kind = ending(file);
    TRM_REQUIRE(!is_setting(file) || kind == "yml" || kind == "yaml" || kind == "json",
                "'{}' is no deck; a setting takes --set: trireme {} DECK.yml --set '{}'", file,
                command, file);
    TRM_REQUIRE(kind != "txt" && kind != "jsonl",
                "{} is text, and no deck: make tokens of it with trireme prepare --input {} "
                "--output TOKENS.h5, and name these in a deck (data_path: TOKENS.h5)",
                file, file);
    TRM_REQUIRE(kind != "h5" && kind != "hdf5",
                "{} is a file of tokens, and no deck: trireme {} DECK.yml --set data_path={}",
                file, command, file);
  }
}

}  // namespace trireme
