// SPDX-License-Identifier: Apache-2.0
// Expands paths.
#include "paths.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <pwd.h>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

namespace trireme::deck {

namespace {

using Environment = std::function<const char*(const char*)>;

bool is_name(unsigned char c) { return std::isalnum(c) != 0 || c == '_'; }

std::string home(const std::string& path, const std::string& user,
                 const Environment& environment) {
  if (user.empty()) {
    const char* folder = environment("HOME");
    if (folder != nullptr && *folder != '\0') return folder;
  }
  const passwd* entry = user.empty() ? nullptr : getpwnam(user.c_str());
  TRM_REQUIRE(
      entry != nullptr, "{}: {}; write the folder out", path,
      user.empty() ? "the variable HOME is not set" : fmt::format("there is no user {}", user));
  return entry->pw_dir;
}

/// The value of the variable that begins after the dollar sign at `at`, which moves behind it.
std::string variable(const std::string& path, std::size_t& at, const Environment& environment) {
  const bool braces = path.compare(at + 1, 1, "{") == 0;
  const std::size_t begin = at + (braces ? 2 : 1);
  std::size_t end = begin;
  while (end < path.size() && is_name(static_cast<unsigned char>(path[end]))) ++end;
  const std::string name = path.substr(begin, end - begin);
  TRM_REQUIRE(!name.empty() && (!braces || path.compare(end, 1, "}") == 0),
              "{}: after a dollar sign a variable's name should stand, as in $HOME or "
              "${{HOME}}; $$ stands for a dollar sign",
              path);
  const char* value = environment(name.c_str());
  TRM_REQUIRE(value != nullptr && *value != '\0',
              "{}: the variable {} is not set; set it, or write $$ for a dollar sign", path,
              name);
  at = end + (braces ? 1 : 0);
  return value;
}

}  // namespace

std::string expand_path(const std::string& path, const Environment& environment) {
  TRM_REQUIRE(path.find('\0') == std::string::npos, "{}: a path cannot hold the character NUL",
              printable(path));
  std::string out;
  std::size_t at = 0;
  if (path.starts_with('~')) {
    at = std::min(path.find('/'), path.size());
    out = home(path, path.substr(1, at - 1), environment);
  }
  while (at < path.size()) {
    if (path[at] != '$') {
      out += path[at++];
    } else if (path.compare(at + 1, 1, "$") == 0) {
      out += '$';
      at += 2;
    } else {
      out += variable(path, at, environment);
    }
  }
  return out;
}

std::string with_dollars_kept(const std::string& path) {
  std::string out = path.starts_with('~') ? "./" : "";
  for (const char c : path) out += c == '$' ? "$$" : std::string(1, c);
  return out;
}

std::vector<PathSetting> paths_of(Draft& draft) {
  DeckSettings& deck = draft.deck;
  std::vector<PathSetting> paths{
      {"save", &deck.save},
      {"load", &deck.load},
      {"run_dir", &deck.run_dir},
      {"base_shapes_file", &deck.base_shapes_file},
      {"zero_optimization.offload_optimizer.nvme_path", &deck.zero.offload.nvme_path},
      {"tensorboard_dir", &deck.tensorboard_dir},
      {"vocab_file", &deck.vocab_file},
      {"merge_file", &deck.merge_file},
      {"sample_input_file", &deck.generation.sample_input_file},
      {"sample_output_file", &deck.generation.sample_output_file},
      {"eval_tasks_data", &deck.eval_tasks_data},
      {"tensorboard.output_path", &draft.tensorboard.output_path}};
  const auto add = [&](std::string_view key, std::vector<std::string>& list) {
    for (std::string& path : list) paths.push_back({key, &path});
  };
  add("data_path", deck.data_path);
  add("eval_tasks", deck.eval_tasks);
  add("train_data_paths", deck.train_data_paths);
  add("valid_data_paths", deck.valid_data_paths);
  add("test_data_paths", deck.test_data_paths);
  add("train_label_data_paths", deck.train_label_data_paths);
  add("valid_label_data_paths", deck.valid_label_data_paths);
  add("test_label_data_paths", deck.test_label_data_paths);
  return paths;
}

void expand_paths(const Settings& settings, Draft& draft) {
  for (const PathSetting& setting : paths_of(draft)) {
    const Setting* from = given(settings, std::string(setting.key));
    if (from == nullptr) continue;
    try {
      *setting.path = expand_path(*setting.path, [](const char* n) { return std::getenv(n); });
    } catch (const Error& e) {
      fail(from->value.place, "{}: {}", setting.key, e.what());
    }
  }
}

}  // namespace trireme::deck
