// SPDX-License-Identifier: Apache-2.0
// Writes messages to the terminal and the log file.
#include "trireme/core/log.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <spdlog/sinks/base_sink.h>

#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"

namespace trireme::log {

namespace {

constexpr const char* kErase = "\r\033[K";

/// A message that quotes foreign text must not fill a screen.
std::string bounded(const std::string& message) {
  constexpr std::size_t kMost = 4000;  // bytes
  std::string text = printable_lines(message);
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return fmt::format("{}... ({} bytes more)", text.substr(0, end), text.size() - end);
}
std::atomic<bool> closed = false;  ///< whether a reader of stdout or stderr has ended

void write_to(std::FILE* file, const std::string& text) {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if ((std::fflush(file) != 0 || !written) && errno == EPIPE) closed = true;
}

/// A file that grows by whole lines, each in one write(2), because other ranks append too. The
/// file is closed between lines: an idle run then does not keep a file system busy. Lines that
/// could not be written wait in memory. The rank that creates the file makes its folder again
/// where that was moved or removed.
class LineFile {
 public:
  LineFile(std::string path, bool create) : path_(std::move(path)), create_(create) {}

  [[nodiscard]] const std::string& path() const { return path_; }

  /// Returns "" or, for the first failure in a row, what went wrong.
  std::string add(const std::string& line) {
    waiting_ += line + '\n';
    std::size_t written = 0;
    int reason = append_text(path_, waiting_, create_, written);
    if (reason == ENOENT && create_ && make_folder_of(path_) == 0) {
      reason = append_text(path_, waiting_, create_, written);
    }
    waiting_.erase(0, written);
    if (waiting_.size() > kMostWaiting) waiting_.erase(0, waiting_.size() - kMostWaiting);
    if (reason == 0) {
      failed_ = false;
      return {};
    }
    if (std::exchange(failed_, true)) return {};
    const std::string kind = other_kind(path_);
    return fmt::format("{}: cannot write: {}; lines of the log wait until it can be written",
                       path_, kind.empty() ? std::strerror(reason) : "it is " + kind);
  }

 private:
  static constexpr std::size_t kMostWaiting = std::size_t{1} << 20U;

  std::string path_;
  bool create_;
  bool failed_ = false;
  std::string waiting_;  ///< not written yet
};

/// Writes lines to stdout, stderr and the log file, and keeps the live line below them.
class Console : public spdlog::sinks::base_sink<std::mutex> {
 public:
  Console(int rank, const std::string& host)
      : first_(rank == 0),
        warning_(first_ ? "warning: " : fmt::format("warning (rank {} on {}): ", rank, host)) {}
  ~Console() override { erase(); }

  void hold() {
    const std::scoped_lock lock(mutex_);
    holding_ = first_;
  }
  void keep(const std::string& path) {
    const std::scoped_lock lock(mutex_);
    if (!path.empty()) kept_.emplace(path, first_);
    holding_ = false;
    for (const std::string& line : held_) add(line);
    held_.clear();
  }
  [[nodiscard]] std::string file() {
    const std::scoped_lock lock(mutex_);
    return kept_ ? kept_->path() : "";
  }
  void note(const std::string& line) {
    const std::scoped_lock lock(mutex_);
    add(printable_lines(line));
  }
  void error(const std::string& line, bool over_bar) {
    const std::scoped_lock lock(mutex_);
    erase();
    if (over_bar) write_to(stderr, kErase);
    put(stderr, line);
  }
  void show(const LivePlace& place, const std::string& line) {
    const std::scoped_lock lock(mutex_);
    place_ = place;
    live_ = printable(line);
    draw();
  }
  void hide() {
    const std::scoped_lock lock(mutex_);
    erase();
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string text(message.payload.data(), message.payload.size());
    if (message.level == spdlog::level::warn) {
      put(stderr, warning_ + bounded(text));
    } else {
      put(stdout, printable_lines(text));
    }
  }
  void flush_() override {}  // each line is flushed when written

 private:
  void put(std::FILE* to, const std::string& line) {
    const bool over = !live_.empty() && (to == stdout ? place_.out : place_.err);
    // Erase the live line on both streams: a launcher may deliver stdout and stderr in any
    // order.
    if (over && to != place_.file) write_to(place_.file, kErase);
    write_to(to, (over ? kErase : "") + line + '\n');
    if (over) draw();
    add(line);
  }
  void draw() const { write_to(place_.file, kErase + live_); }
  void erase() {
    if (live_.empty()) return;
    write_to(place_.file, kErase);
    live_.clear();
  }
  void add(const std::string& line) {
    if (holding_) held_.push_back(line);
    if (!kept_) return;
    const std::string problem = kept_->add(line);
    if (!problem.empty()) put(stderr, warning_ + problem);
  }

  bool first_;
  std::string warning_;
  LivePlace place_;
  std::string live_;
  bool holding_ = false;
  std::vector<std::string> held_;
  std::optional<LineFile> kept_;
};

std::shared_ptr<Console> console;

}  // namespace

void start(int rank, const std::string& host) {
  console = std::make_shared<Console>(rank, host);
  auto logger = std::make_shared<spdlog::logger>("trireme", console);
  logger->set_level(rank == 0 ? spdlog::level::info : spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

void hold() { console->hold(); }

void keep(const std::string& path) { console->keep(path); }

std::string file() { return console ? console->file() : ""; }

bool output_closed() { return closed; }

void note(const std::string& line) { console->note(line); }

void error(const std::string& message, bool over_bar) {
  const std::string line = "trireme: error: " + bounded(message);
  if (console) {
    console->error(line, over_bar);
  } else {
    write_to(stderr, line + '\n');
  }
}

void show(const LivePlace& place, const std::string& line) { console->show(place, line); }

void hide() {
  if (console) console->hide();
}

}  // namespace trireme::log
