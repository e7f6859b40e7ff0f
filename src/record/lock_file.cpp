// SPDX-License-Identifier: Apache-2.0
// Reads and writes the text of locks.
#include "lock_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/environment.hpp"

namespace trireme::lock_file {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargest = 8192;
constexpr std::int64_t kMostGenerations = std::int64_t{1} << 53U;
constexpr const char* kTitle =
    "# A run of trireme owns this place while this file changes every few seconds.\n";

std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
  return text;
}

std::string line_of(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

/// The state and the start of a process, from /proc; nothing if there is no such process.
struct Process {
  char state = ' ';
  std::string started;
};
std::optional<Process> process_of(std::int64_t number) {
  const std::string line = line_of(fmt::format("/proc/{}/stat", number));
  const auto name_end = line.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return std::nullopt;
  Process found;
  std::size_t at = name_end;
  for (int field = 3; field <= 22; ++field) {
    at = line.find(' ', at);
    if (at == std::string::npos) return std::nullopt;
    ++at;
    if (field == 3) found.state = line[at];
  }
  found.started = line.substr(at, line.find(' ', at) - at);
  return found;
}

std::string this_machine() {
  std::error_code code;
  const fs::path space = fs::read_symlink("/proc/self/ns/pid", code);
  return line_of("/proc/sys/kernel/random/boot_id") + " " + space.string();
}

std::int64_t nanoseconds(const timespec& t) {
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

std::string value_in(const std::string& text, const std::string& key) {
  const std::string begin = "\n" + key + ": ";
  const auto at = text.find(begin);
  if (at == std::string::npos) return {};
  const auto from = at + begin.size();
  return one_line(text.substr(from, text.find('\n', from) - from));
}

std::int64_t number_in(const std::string& text) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  return error == std::errc{} && end == text.data() + text.size() ? n : 0;
}

Owner owner_in(const std::string& text) {
  Owner owner;
  owner.mark = value_in(text, "mark");
  owner.host = value_in(text, "host");
  owner.process = number_in(value_in(text, "process"));
  owner.started = value_in(text, "started");
  owner.machine = value_in(text, "machine");
  owner.job = value_in(text, "job");
  owner.since = value_in(text, "since");
  owner.folder = value_in(text, "folder");
  return owner;
}

}  // namespace

std::string path_of(const std::string& stem, std::int64_t generation) {
  return fmt::format("{}.{}", stem, generation);
}

std::int64_t highest(const std::string& stem) {
  const std::string prefix = fs::path(stem).filename().string() + ".";
  std::int64_t most = 0;
  std::error_code code;
  for (fs::directory_iterator at(folder_of(stem), code);
       !code && at != fs::directory_iterator(); at.increment(code)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    const std::int64_t n = number_in(name.substr(prefix.size()));
    if (n < kMostGenerations) most = std::max(most, n);
  }
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot list the folder", folder_of(stem));
  return most;
}

std::string Owner::text() const {
  return fmt::format(
      "{}mark: {}\nhost: {}\nprocess: {}\nstarted: {}\nmachine: {}\njob: {}\nsince: {}\n"
      "folder: {}\n",
      kTitle, mark, host, process, started, machine, job, since, folder);
}

std::string Owner::describe() const {
  if (mark.empty()) return "a process that left no name";
  return fmt::format("process {} on {}{} since {}", process, host,
                     job.empty() ? "" : fmt::format(" ({})", job), since);
}

Owner this_process(const std::string& stem, const std::string& since) {
  Owner owner;
  owner.mark = process_mark();
  owner.host = one_line(host_name());
  owner.process = getpid();
  const auto process = process_of(owner.process);
  owner.started = process ? process->started : "";
  owner.machine = this_machine();
  owner.job = batch_job();
  owner.since = since;
  owner.folder = folder_of(stem);
  return owner;
}

std::optional<Look> look(const std::string& path) {
  // Opening the file lets a network file system ask its server for the file's time.
  const int file = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) {
    const int reason = errno;
    TRM_REQUIRE_SYSTEM(reason == ENOENT, reason, "{}: cannot open", path);
    return std::nullopt;
  }
  Look found;
  struct stat status {};
  std::array<char, kLargest> text{};
  const bool regular = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
  const ssize_t bytes = regular ? read(file, text.data(), text.size()) : 0;
  close(file);
  found.text.assign(text.data(), static_cast<std::size_t>(std::max<ssize_t>(bytes, 0)));
  found.time_ns = nanoseconds(status.st_mtim);
  found.owner = owner_in(found.text);
  return found;
}

Life life_of(const Owner& owner) {
  if (owner.machine.empty() || owner.started.empty() || owner.machine != this_machine()) {
    return Life::unknown;
  }
  const auto process = process_of(owner.process);
  const bool lives = process && process->state != 'Z' && process->state != 'X' &&
                     process->started == owner.started;
  return lives ? Life::alive : Life::dead;
}

bool is_carried_along(const std::string& path, const Look& here) {
  if (here.owner.folder.empty()) return false;
  std::error_code code;
  if (fs::equivalent(here.owner.folder, folder_of(path), code) && !code) return false;
  const std::string there = (fs::path(here.owner.folder) / fs::path(path).filename()).string();
  try {
    const auto origin = look(there);
    if (!origin) return life_of(here.owner) != Life::unknown;
    // One folder can have two paths, such as two mounts: the file then has one text and time.
    return origin->text != here.text || origin->time_ns != here.time_ns;
  } catch (const Error&) {
    return false;
  }
}

std::optional<std::int64_t> time_there(const std::string& stem) {
  const std::string probe = temporary_name(stem, process_mark());
  unlink(probe.c_str());
  const int file =
      open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file < 0) return std::nullopt;
  struct stat status {};
  const bool known = fstat(file, &status) == 0;
  close(file);
  unlink(probe.c_str());
  if (!known) return std::nullopt;
  return nanoseconds(status.st_mtim);
}

}  // namespace trireme::lock_file
