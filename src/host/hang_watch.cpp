// SPDX-License-Identifier: Apache-2.0
// Notes of waiting ranks, and the conclusion from them.
#include "trireme/host/hang_watch.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "trireme/core/clock.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

constexpr const char* kEnd = "end";  // a note without this last line is not whole

std::string rank_list(const std::vector<int>& ranks) {
  constexpr std::size_t kShown = 16;
  if (ranks.size() <= kShown) {
    return fmt::format("rank{} {}", ranks.size() == 1 ? "" : "s", fmt::join(ranks, ", "));
  }
  const std::vector<int> first(ranks.begin(), ranks.begin() + kShown);
  return fmt::format("ranks {} and {} more", fmt::join(first, ", "), ranks.size() - kShown);
}

std::string operation_text(const Wait& wait) {
  std::string text = wait.operation;
  if (wait.number > 0) text += fmt::format(" number {}", wait.number);
  if (!wait.group.name.empty()) text += " of " + wait.group.name;
  if (wait.peer >= 0) text += fmt::format(" with rank {}", wait.peer);
  return text;
}

/// What a rank that did not come does instead.
std::string whereabouts(const std::map<int, WaitNote>& notes, int rank) {
  const auto found = notes.find(rank);
  if (found == notes.end()) {
    return fmt::format("rank {} gave no sign: it is stopped, lost, or cannot write files",
                       rank);
  }
  const WaitNote& note = found->second;
  if (!note.wait) return fmt::format("rank {} on {} computes", rank, note.host);
  return fmt::format("rank {} on {} waits in {} for {:.0f} s", rank, note.host,
                     operation_text(*note.wait), note.seconds);
}

bool came(const std::map<int, WaitNote>& notes, int rank, const Wait& to) {
  const auto found = notes.find(rank);
  if (found == notes.end() || !found->second.wait) return false;
  const Wait& wait = *found->second.wait;
  return wait.group == to.group && wait.number >= to.number && wait.peer < 0;
}

std::vector<int> members(const Wait& wait, int ranks) {
  if (!wait.group.ranks.empty()) return wait.group.ranks;
  std::vector<int> all;
  if (wait.group.name == "world") {
    for (int rank = 0; rank < ranks; ++rank) all.push_back(rank);
  }
  return all;
}

}  // namespace

std::string to_text(const WaitNote& note) {
  const Wait wait = note.wait.value_or(Wait());
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n", note.host, note.wait ? 1 : 0,
                     wait.operation, wait.group.name, fmt::join(wait.group.ranks, " "),
                     wait.number, wait.peer, note.seconds, note.late ? 1 : 0, kEnd);
}

std::optional<WaitNote> wait_note_of(const std::string& text) {
  std::istringstream lines(text);
  std::vector<std::string> words;
  for (std::string line; std::getline(lines, line);) words.push_back(line);
  if (words.size() != 10 || words.back() != kEnd) return std::nullopt;
  WaitNote note{.host = words[0], .wait = {}, .seconds = 0, .late = words[8] == "1"};
  std::istringstream(words[7]) >> note.seconds;
  if (words[1] != "1") return note;
  Wait wait{.operation = words[2], .group = {words[3], {}}};
  std::istringstream ranks(words[4]);
  for (int rank = 0; ranks >> rank;) wait.group.ranks.push_back(rank);
  std::istringstream(words[5]) >> wait.number;
  std::istringstream(words[6]) >> wait.peer;
  note.wait = std::move(wait);
  return note;
}

std::vector<std::string> explain_waits(const std::map<int, WaitNote>& notes, int ranks) {
  constexpr std::size_t kMostLines = 8;
  std::vector<std::string> lines;
  std::set<std::string> said;
  std::set<int> absent;
  for (const auto& [rank, note] : notes) {
    if (!note.late || !note.wait) continue;
    const Wait& wait = *note.wait;
    std::vector<int> here;
    std::vector<int> missing;
    for (const int member : members(wait, ranks)) {
      (came(notes, member, wait) ? here : missing).push_back(member);
    }
    if (wait.peer >= 0) {
      here = {rank};
      missing = {wait.peer};
    }
    absent.insert(missing.begin(), missing.end());
    const std::string of = operation_text(wait);
    if (!said.insert(of + rank_list(here)).second || lines.size() == kMostLines) continue;
    lines.push_back(fmt::format(
        "{}: {} wait{}{}", of, rank_list(here.empty() ? std::vector<int>{rank} : here),
        here.size() > 1 ? "" : "s",
        missing.empty() ? "" : fmt::format("; {} did not come", rank_list(missing))));
  }
  // Ranks that wait themselves are no cause; the others are named first.
  std::vector<int> order(absent.begin(), absent.end());
  std::ranges::stable_sort(order, {}, [&](int rank) {
    const auto found = notes.find(rank);
    return found == notes.end() ? 0 : found->second.wait ? 2 : 1;
  });
  if (order.size() > kMostLines) order.resize(kMostLines);
  for (const int rank : order) lines.push_back(whereabouts(notes, rank));
  return lines;
}

HangWatch::HangWatch(Options options) : options_(std::move(options)) {
  if (options_.timeout <= 0) return;
  record_waits_of_this_thread();
  thread_ = std::thread([this] { look_after(); });
}

HangWatch::~HangWatch() {
  {
    const std::scoped_lock lock(mutex_);
    ends_ = true;
  }
  ended_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool HangWatch::sleep(double seconds) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return ends_; });
}

bool HangWatch::is_called() const {
  std::error_code error;
  return !options_.folder.empty() && fs::exists(options_.folder, error);
}

void HangWatch::look_after() {
  // A look at the folder costs a file system time, so that it is rarer for long waits.
  const double pause = std::clamp(options_.timeout / 20, 0.05, 30.0);
  const double grace = std::clamp(options_.timeout / 5, 0.5, 60.0);
  while (!sleep(pause)) {
    const auto wait = current_wait();
    const bool late = wait && now() - wait->since > options_.timeout;
    if (!late && !is_called()) continue;
    write_note(wait, late);
    if (sleep(grace)) break;
    const auto later = current_wait();
    if (late && later && later->since == wait->since) {
      report(*wait);
      return;
    }
    if (sleep(grace)) break;  // other ranks may still read the note
    remove_note();
  }
  remove_note();
}

void HangWatch::report(const Wait& wait) {
  options_.say(
      fmt::format("no progress for {:.0f} s (comm_timeout {}): rank {} on {} waits in "
                  "{}, and ends the run",
                  now() - wait.since, options_.timeout, options_.rank, options_.host,
                  operation_text(wait)));
  // One rank alone reads all notes: a file system serves many ranks.
  if (first_late_rank() == options_.rank) {
    std::map<int, WaitNote> notes;
    for (int rank = 0; rank < options_.ranks; ++rank) {
      if (auto note = read_note(rank)) notes.emplace(rank, std::move(*note));
    }
    for (const std::string& line : explain_waits(notes, options_.ranks)) options_.say(line);
  } else if (sleep(1)) {  // the rank that explains ends the run first
    return;
  }
  remove_note();
  options_.end();
}

void HangWatch::write_note(const std::optional<Wait>& wait, bool late) {
  if (options_.folder.empty()) return;
  noted_ = true;
  std::error_code error;
  fs::create_directories(options_.folder, error);
  const std::string path = fmt::format("{}/rank-{}", options_.folder, options_.rank);
  std::ofstream(path) << to_text({.host = options_.host,
                                  .wait = wait,
                                  .seconds = wait ? now() - wait->since : 0,
                                  .late = late});
}

void HangWatch::remove_note() {
  if (!std::exchange(noted_, false)) return;
  std::error_code error;
  fs::remove(fmt::format("{}/rank-{}", options_.folder, options_.rank), error);
  fs::remove(options_.folder, error);  // fails while other notes are there
}

std::optional<WaitNote> HangWatch::read_note(int rank) const {
  if (options_.folder.empty()) return std::nullopt;
  std::ifstream file(fmt::format("{}/rank-{}", options_.folder, rank));
  std::ostringstream text;
  text << file.rdbuf();
  return wait_note_of(text.str());
}

int HangWatch::first_late_rank() const {
  for (int rank = 0; rank < options_.ranks; ++rank) {
    const auto note = read_note(rank);
    if (note && note->late) return rank;
  }
  return -1;
}

}  // namespace trireme
