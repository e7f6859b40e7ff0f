// SPDX-License-Identifier: Apache-2.0
// Files that a run writes when it starts.
#include "trireme/record/run_folder.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/host/build_info.hpp"

namespace trireme {

namespace {

constexpr const char* kOurs = "# The resolved deck of a run's last start, by trireme ";

void make_folder(const std::string& folder, const char* key) {
  if (folder.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  int reason = error.value();
  if (!error) {
    const std::string probe = folder + "/.writable";
    errno = 0;
    if (std::ofstream(probe).good()) {
      std::filesystem::remove(probe, error);
      return;
    }
    reason = errno;
  }
  TRM_REQUIRE_SYSTEM(false, reason, "cannot write to the folder {} (key {})", folder, key);
}

/// Appends `text`. Warns where this fails, because a full disk doesn't end a run.
void append(const std::string& path, const std::string& text) {
  errno = 0;
  std::ofstream file(path, std::ios::app);
  file << text;
  file.close();
  if (file.good()) return;
  log::warn("{}: cannot write: {}", path, std::strerror(errno == 0 ? ENOSPC : errno));
}

/// Whether a file exists that trireme did not write.
bool is_theirs(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return false;
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return !line.starts_with(kOurs);
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
    replace_text(path, fmt::format("{}{}\n{}", kOurs, version_text(), to_yaml(deck)),
                 Durability::process);
  } catch (const Error& e) {
    log::warn("{}", e.what());
  }
}

}  // namespace

void make_folders(const Deck& deck) {
  make_folder(deck.save, "save");
  make_folder(deck.run_dir, "run_dir");
  make_folder(deck.tensorboard_dir, "tensorboard_dir");
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

}  // namespace trireme
