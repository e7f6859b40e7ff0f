// SPDX-License-Identifier: Apache-2.0
// Looks for files of runs by name.
#include "run_files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/stat.h>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/h5/file.hpp"
#include "trireme/record/run_folder.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_where(const std::string& folder,
                                     const std::function<bool(const std::string&)>& wanted) {
  std::vector<std::string> names;
  std::error_code code;
  if (folder.empty() || !fs::is_directory(folder, code)) return names;
  for (fs::directory_iterator at(folder, code); !code && at != fs::directory_iterator();
       at.increment(code)) {
    const std::string name = at->path().filename().string();
    if (wanted(name)) names.push_back(name);
  }
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot list the folder", folder);
  std::ranges::sort(names);
  return names;
}

std::string date_for_names() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::array<char, 32> text{};
  const std::size_t n = std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &parts);
  return {text.data(), n};
}

/// The first free name among NAME, NAME-2, NAME-3, ….
std::string free_name(const std::string& name) {
  std::string path = name;
  std::error_code code;
  for (int i = 2; fs::exists(fs::symlink_status(path, code)); ++i) {
    path = fmt::format("{}-{}", name, i);
  }
  return path;
}

bool is_checkpoints_name(const std::string& name) {
  const std::string base = base_of_temporary(name).value_or(name);
  const std::string whole = base.ends_with(".old") ? base.substr(0, base.size() - 4) : base;
  return base == "latest" || checkpoint_iteration(whole).has_value();
}

}  // namespace

fs::path without_links(const std::string& path) {
  std::error_code code;
  fs::path whole = fs::weakly_canonical(fs::absolute(path, code), code);
  if (code) whole = fs::absolute(path, code).lexically_normal();  // a link in a circle
  return whole.has_filename() ? whole : whole.parent_path();      // remove a slash at the end
}

bool is_same_place(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code code;
  if (fs::equivalent(a, b, code) && !code) return true;
  return without_links(a) == without_links(b);
}

std::vector<std::string> checkpoint_files(const std::string& save) {
  std::error_code code;
  const bool latest = fs::exists(fs::symlink_status(fs::path(save) / "latest", code));
  if (save.empty() || (!latest && find_checkpoints(save).paths.empty())) return {};
  auto names = names_where(save, is_checkpoints_name);
  // Without `latest`, what is left of a move that was cut short can still be found.
  std::ranges::stable_partition(names, [](const std::string& n) { return n == "latest"; });
  return names;
}

std::optional<std::int64_t> recorded_steps(const std::string& run_dir) {
  const std::string path = run_dir + "/metrics.h5";
  std::error_code code;
  if (run_dir.empty() || !fs::exists(fs::symlink_status(path, code))) return 0;
  std::int64_t steps = 0;
  const auto failure = failure_of([&] {
    const h5::File file(path, h5::Mode::read);
    if (file.has("train/iteration")) steps = file.dataset("train/iteration").shape().count();
  });
  if (failure) return std::nullopt;
  return steps;
}

std::vector<std::string> record_files(const std::string& run_dir) {
  if (recorded_steps(run_dir) == 0) return {};
  return names_where(run_dir, [&](const std::string& name) {
    if (name == "deck.yml" || name == "deck.resolved.yml") {
      return is_resolved_deck(run_dir + "/" + name);
    }
    return name == "metrics.h5" || name == "metrics.h5.damaged" || name == "log.txt" ||
           name == "environment.txt";
  });
}

std::vector<std::string> event_files(const std::string& tensorboard_dir) {
  return names_where(tensorboard_dir, [](const std::string& name) {
    return name.starts_with("events.out.tfevents.");
  });
}

std::optional<Deck> last_deck(const std::string& run_dir) {
  for (const char* name : {"/deck.yml", "/deck.resolved.yml"}) {
    const std::string path = run_dir + name;
    if (run_dir.empty() || !is_resolved_deck(path)) continue;
    std::optional<Deck> deck;
    const auto failure = failure_of([&] { deck = read_deck({path}); });
    if (!failure) return deck;
  }
  return std::nullopt;
}

std::string move_aside(const std::string& folder, const std::vector<std::string>& names) {
  std::string aside = free_name(folder + "/before-" + date_for_names());
  TRM_REQUIRE_SYSTEM(mkdir(aside.c_str(), 0777) == 0, errno, "{}: cannot create the folder",
                     aside);
  for (const std::string& name : names) {
    rename_path(fmt::format("{}/{}", folder, name), fmt::format("{}/{}", aside, name));
  }
  return aside;
}

std::string name_aside(const std::string& path) {
  return free_name(fmt::format("{}.before-{}", path, date_for_names()));
}

void remove_temporary_files(const std::string& folder, const std::vector<std::string>& names) {
  const auto left = names_where(folder, [&](const std::string& name) {
    const auto base = base_of_temporary(name);
    return base && std::ranges::find(names, *base) != names.end();
  });
  for (const std::string& name : left) {
    std::error_code ignored;
    const fs::path path = fs::path(folder) / name;
    if (fs::is_regular_file(fs::symlink_status(path, ignored))) fs::remove(path, ignored);
  }
}

}  // namespace trireme
