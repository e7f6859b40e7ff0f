// SPDX-License-Identifier: Apache-2.0
// Reads files and follows `include`.
#include "deck_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "trireme/core/regular_file.hpp"

namespace trireme::deck {
namespace {

constexpr int kMostIncludes = 8;  // in each other

std::string content_of(const std::string& path) {
  constexpr std::size_t kLargest = 1'000'000;
  if (other_kind(path) != "a folder") require_file_or_nothing(path);  // a pipe would wait
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  TRM_REQUIRE_SYSTEM(file, errno, "{}: cannot open the deck", path);
  std::string text;
  std::vector<char> block(std::size_t{1} << 16U);
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), file.get())) {
    text.append(block.data(), n);
    TRM_REQUIRE(text.size() <= kLargest, "{}: it has over 1 MB, the most that a deck may have",
                path);
  }
  TRM_REQUIRE_SYSTEM(std::ferror(file.get()) == 0, errno, "{}: cannot read the deck", path);
  return text;
}

/// Whether a name is a deck's. DeepSpeed's launcher has an `include` of hosts.
bool names_deck(const Value& value) {
  return value.kind == Value::Kind::scalar &&
         std::ranges::any_of(std::initializer_list<const char*>{".yml", ".yaml", ".json"},
                             [&](const char* ending) { return value.text.ends_with(ending); });
}

void read(const std::string& text, const std::string& name, std::vector<NamedTree>& trees,
          int level);

void read(const std::string& path, std::vector<NamedTree>& trees, int level) {
  read(content_of(path), path, trees, level);
}

void read(const std::string& text, const std::string& name, std::vector<NamedTree>& trees,
          int level) {
  Value tree = parse_tree(text, name);
  const auto include = std::ranges::find(tree.entries, "include", &Entry::key);
  if (include != tree.entries.end()) {
    const bool list = include->value.kind == Value::Kind::list;
    const std::vector<Value> names =
        list ? include->value.items : std::vector<Value>{include->value};
    if (!names.empty() && std::ranges::all_of(names, names_deck)) {
      if (level == kMostIncludes) {
        fail(include->place, "decks include each other, or more than {} levels deep",
             kMostIncludes);
      }
      const auto folder = std::filesystem::path(name).parent_path();
      for (const Value& other : names) {
        try {
          read((folder / other.text).string(), trees, level + 1);
        } catch (const Error& e) {
          if (e.system_error() == 0) throw;
          fail(other.place, "include: {}", e.what());
        }
      }
      tree.entries.erase(include);
    }
  }
  trees.emplace_back(name, std::move(tree));
}

}  // namespace

void read_file(const std::string& path, std::vector<NamedTree>& trees) { read(path, trees, 0); }

void read_text(const std::string& text, const std::string& name,
               std::vector<NamedTree>& trees) {
  read(text, name, trees, 0);
}

}  // namespace trireme::deck
