// SPDX-License-Identifier: Apache-2.0
// Files that a run writes when it starts.
#include "trireme/record/run_folder.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/host/build_info.hpp"

namespace trireme {

namespace {

constexpr const char* kOurs = "# The resolved deck of a run's last start, by trireme ";

/// Appends `text`. Warns where this fails, because a full disk doesn't end a run.
void append(const std::string& path, const std::string& text) {
  std::size_t written = 0;
  const int reason = append_text(path, text, true, written);
  if (reason != 0) log::warn("{}: cannot write: {}", path, std::strerror(reason));
}

/// Whether a file exists that trireme did not write.
bool is_theirs(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(path, error)) &&
         !is_resolved_deck(path);
}

void write_deck(const Deck& deck) {
  std::string path = deck.run_folder() + "/deck.yml";
  if (is_theirs(path)) {
    path = deck.run_folder() + "/deck.resolved.yml";
    if (is_theirs(path)) {
      log::warn("{}: trireme did not write deck.yml and deck.resolved.yml: both stay",
                deck.run_folder());
      return;
    }
    log::warn("trireme did not write {}/deck.yml, which stays; the resolved deck is {}",
              deck.run_folder(), path);
  }
  try {
    replace_text(path, fmt::format("{}{}\n{}", kOurs, version_text(), to_yaml_for_users(deck)),
                 Durability::process);
  } catch (const Error& e) {
    log::warn("{}", e.what());
  }
}

}  // namespace

void make_run_folder(const std::string& folder, const char* key) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const int reason = error                                   ? error.value()
                     : std::filesystem::is_directory(folder) ? 0
                                                             : ENOTDIR;
  TRM_REQUIRE_SYSTEM(reason == 0, reason, "cannot write to the folder {} (key {})", folder,
                     key);
}

void require_places_of_files(const Deck& deck) {
  if (deck.run_folder().empty()) return;
  for (const char* name : {"log.txt", "metrics.h5", "deck.yml", "environment.txt"}) {
    const std::string path = deck.run_folder() + "/" + name;
    const std::string kind = other_kind(path);
    TRM_REQUIRE(kind.empty(), "{}: cannot write: it is {}; move it away", path, kind);
  }
}

bool is_resolved_deck(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line.starts_with(kOurs);
}

void keep_log(const Deck& deck) {
  log::keep(deck.run_folder().empty() ? "" : deck.run_folder() + "/log.txt");
}

void write_start_files(const Deck& deck, const std::string& environment) {
  if (deck.run_folder().empty()) return;
  write_deck(deck);
  const std::string path = deck.run_folder() + "/environment.txt";
  std::error_code error;
  const bool first = !std::filesystem::exists(path, error);
  append(path, (first ? "" : "\n") + environment);
}

bool start_files_are_gone(const Deck& deck) {
  if (deck.run_folder().empty()) return false;
  const std::string path = deck.run_folder() + "/deck.yml";
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::symlink_status(path, error))) return false;
  return make_folder_of(path) == 0;
}

}  // namespace trireme
