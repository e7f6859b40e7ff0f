// SPDX-License-Identifier: Apache-2.0
// Locks a run's folders, and keeps other runs' files from being overwritten.
#include "run_claim.hpp"

#include <algorithm>
#include <filesystem>

#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"
#include "trireme/record/run_folder.hpp"

#include "run_files.hpp"

namespace trireme {

namespace {

/// "global_step100, global_step200 and 7 more".
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 4;
  const std::vector<std::string> first(
      names.begin(),
      names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
  const std::string text = fmt::format("{}", fmt::join(first, ", "));
  return names.size() <= kShown ? text
                                : fmt::format("{} and {} more", text, names.size() - kShown);
}

/// Whether the run goes on with what `save` holds.
bool owns_save(const Deck& deck, const LoadSource& source) {
  if (deck.save.empty() || deck.load.empty()) return false;
  if (source.began_earlier()) return true;
  if (is_within(deck.load, deck.save)) return true;
  if (!checkpoint_files(deck.save).empty()) return false;
  // A start that died before its first checkpoint left no more than its deck.
  const auto last = last_deck(deck.run_folder());
  return last && is_same_place(last->save, deck.save) && is_same_place(last->load, deck.load) &&
         last->finetune == deck.finetune;
}

/// The checkpoint that a folder is or lies in, or "".
std::string checkpoint_around(const std::string& folder) {
  std::error_code code;
  std::filesystem::path at = std::filesystem::weakly_canonical(folder, code);
  for (; !code && at.has_relative_path(); at = at.parent_path()) {
    // A folder of runs may have the name of a checkpoint: see is_checkpoint().
    if (std::filesystem::exists(at / "checkpoint.h5", code)) return at.string();
  }
  return "";
}

bool owns_run_dir(const Deck& deck, bool save_is_ours) {
  if (!save_is_ours) return false;
  if (is_same_place(deck.run_folder(), deck.save)) return true;
  const auto last = last_deck(deck.run_folder());
  return last && is_same_place(last->save, deck.save);
}

bool owns_events(const Deck& deck, bool run_dir_is_ours) {
  if (!run_dir_is_ours) return false;
  const auto last = last_deck(deck.run_folder());
  return last && is_same_place(last->tensorboard_dir, deck.tensorboard_dir);
}

}  // namespace

void RunClaim::list(const Deck& deck) {
  if (!folders_.empty()) return;
  const auto add = [this](const char* key, const std::string& path) {
    if (path.empty()) return;
    folders_.push_back({key, path, false, nullptr, {}});
  };
  add("save", deck.save);
  add("run_dir", deck.run_dir);
  add("tensorboard_dir", deck.tensorboard_dir);
}

void RunClaim::lock(Folder& folder) {
  folder.visited = true;
  for (const Folder& earlier : folders_) {
    if (&earlier == &folder) break;
    if (earlier.lock && is_same_place(earlier.path, folder.path)) return;
  }
  try {
    folder.lock = std::make_unique<OwnerLock>(folder.path + "/trireme.lock",
                                              fmt::format("{}: {}", folder.key, folder.path));
  } catch (const Error& e) {
    if (e.system_error() == 0) throw;  // it has another owner
    throw e.saying(fmt::format("cannot write to the folder {} (key {}): {}", folder.path,
                               folder.key, e.what()));
  }
}

void RunClaim::lock_existing(const Deck& deck) {
  list(deck);
  for (Folder& folder : folders_) {
    std::error_code code;
    if (std::filesystem::is_directory(folder.path, code)) lock(folder);
  }
}

void RunClaim::check(const Deck& deck, const LoadSource& source) {
  list(deck);
  const bool save_is_ours = owns_save(deck, source);
  const bool run_dir_is_ours = owns_run_dir(deck, save_is_ours);
  for (Folder& folder : folders_) {
    const std::string inside = checkpoint_around(folder.path);
    TRM_REQUIRE(inside.empty(),
                "{}: {} lies in the checkpoint {}, which its run may remove. Name a folder "
                "outside of it",
                folder.key, folder.path, inside);
    folder.others.clear();
    const auto add = [&](const std::vector<std::string>& names) {
      folder.others.insert(folder.others.end(), names.begin(), names.end());
    };
    if (folder.key == "save" && !save_is_ours) add(checkpoint_files(folder.path));
    if (folder.path == deck.run_folder() && !run_dir_is_ours) add(record_files(folder.path));
    if (folder.key == "tensorboard_dir" && !owns_events(deck, run_dir_is_ours)) {
      add(event_files(folder.path));
    }
    if (folder.others.empty() || deck.overwrite) continue;
    const bool resumable = folder.key == "save" && !checkpoint_files(folder.path).empty();
    throw Error(fmt::format(
        "{}: {} holds files of another run: {}. No file was changed. {}Name another {}, or "
        "set overwrite: true, which moves them into {}/before-DATE and starts anew",
        folder.key, folder.path, some_of(folder.others),
        resumable ? fmt::format("Set load: {} to go on with that run. ", folder.path) : "",
        folder.key, folder.path));
  }
}

void RunClaim::make_ready(const Deck& deck, const LoadSource& source) {
  bool more = false;
  for (Folder& folder : folders_) {
    if (folder.visited) continue;
    make_run_folder(folder.path, folder.key.c_str());
    lock(folder);
    more = true;
    TRM_REQUIRE(folder.key != "save" || checkpoint_files(folder.path).empty(),
                "save: {} was made by another start meanwhile; start again", folder.path);
  }
  if (more) check(deck, source);
  require_places_of_files(deck);
  for (const Folder& folder : folders_) {
    if (folder.others.empty()) continue;
    const std::string aside = move_aside(folder.path, folder.others);
    log::info("moved    {} of another run from {} to {}", some_of(folder.others), folder.path,
              aside);
  }
  remove_temporary_files(deck.run_folder(), {"metrics.h5", "deck.yml", "deck.resolved.yml"});
}

void RunClaim::require_not_lost() const {
  for (const Folder& folder : folders_) {
    if (folder.lock && folder.lock->is_lost()) folder.lock->require();
  }
}

void RunClaim::require() const {
  for (const Folder& folder : folders_) {
    if (folder.lock) folder.lock->require();
  }
}

}  // namespace trireme
