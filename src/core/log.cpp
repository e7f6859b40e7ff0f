// SPDX-License-Identifier: Apache-2.0
// Writes messages to the terminal and the log file.
#include "trireme/core/log.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <spdlog/sinks/base_sink.h>

#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"

#include "log_line.hpp"

namespace trireme::log {

namespace {

constexpr const char* kErase = "\r\033[K";
const std::string kError = "trireme: error: ";

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
  Console(int rank, std::string host)
      : first_(rank == 0),
        rank_(rank),
        host_(std::move(host)),
        warning_(first_ ? "warning: " : fmt::format("warning (rank {} on {}): ", rank, host_)) {
  }
  ~Console() override { erase(); }

  void hold() {
    const std::scoped_lock lock(mutex_);
    holding_ = first_;
  }
  void keep(const std::string& path) {
    const std::scoped_lock lock(mutex_);
    if (!path.empty()) kept_.emplace(path, first_);
    holding_ = false;
    for (const Line& line : held_) add(line);
    held_.clear();
  }
  [[nodiscard]] std::string file() {
    const std::scoped_lock lock(mutex_);
    return kept_ ? kept_->path() : "";
  }
  void set_loudness(Loudness loudness) {
    const std::scoped_lock lock(mutex_);
    loudness_ = loudness;
  }
  [[nodiscard]] bool is_verbose() const { return loudness_ == Loudness::verbose; }
  void use_json() {
    const std::scoped_lock lock(mutex_);
    json_ = true;
  }
  void note(const std::string& text) {
    const std::scoped_lock lock(mutex_);
    add(line_of(Line::Level::note, printable_lines(text)));
  }
  void event(const std::string& text, const std::string& fields) {
    if (!first_) return;
    const std::scoped_lock lock(mutex_);
    put(stdout, line_of(Line::Level::info, text, fields));
  }
  void error(const std::string& text, bool over_bar) {
    const std::scoped_lock lock(mutex_);
    erase();
    if (over_bar) write_to(stderr, kErase);
    put(stderr, line_of(Line::Level::error, text));
  }
  void show(const LivePlace& place, const std::string& line) {
    const std::scoped_lock lock(mutex_);
    if (loudness_ == Loudness::quiet) return;
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
      put(stderr, line_of(Line::Level::warning, bounded(text)));
    } else {
      put(stdout, line_of(Line::Level::info, printable_lines(text)));
    }
  }
  void flush_() override {}  // each line is flushed when written

 private:
  static Line line_of(Line::Level level, const std::string& text, std::string fields = {}) {
    const std::chrono::duration<double> time =
        std::chrono::system_clock::now().time_since_epoch();
    return {level, text, std::move(fields), time.count()};
  }
  [[nodiscard]] std::string rendered(const Line& line) const {
    if (json_) return json_of(line, rank_, host_);
    if (line.level == Line::Level::warning) return warning_ + line.text;
    return (line.level == Line::Level::error ? kError : "") + line.text;
  }
  void put(std::FILE* to, const Line& line) {
    if (to == stdout && loudness_ == Loudness::quiet) return add(line);
    const bool over = !live_.empty() && (to == stdout ? place_.out : place_.err);
    // Erase the live line on both streams: a launcher may deliver stdout and stderr in any
    // order.
    if (over && to != place_.file) write_to(place_.file, kErase);
    write_to(to, (over ? kErase : "") + rendered(line) + '\n');
    if (over) draw();
    add(line);
  }
  void draw() const { write_to(place_.file, kErase + live_); }
  void erase() {
    if (live_.empty()) return;
    write_to(place_.file, kErase);
    live_.clear();
  }
  void add(const Line& line) {
    if (holding_) held_.push_back(line);
    if (!kept_) return;
    const std::string problem = kept_->add(rendered(line));
    if (!problem.empty()) put(stderr, line_of(Line::Level::warning, problem));
  }

  bool first_;
  int rank_;
  std::string host_;
  std::string warning_;
  Loudness loudness_ = Loudness::usual;
  bool json_ = false;
  LivePlace place_;
  std::string live_;
  bool holding_ = false;
  std::vector<Line> held_;
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
void set_loudness(Loudness loudness) { console->set_loudness(loudness); }

bool is_verbose() { return console && console->is_verbose(); }

void use_json() { console->use_json(); }

void event(const std::string& text, const std::string& fields) { console->event(text, fields); }

void note(const std::string& line) { console->note(line); }

void error(const std::string& message, bool over_bar) {
  if (console) {
    console->error(bounded(message), over_bar);
  } else {
    write_to(stderr, kError + bounded(message) + '\n');
  }
}

void show(const LivePlace& place, const std::string& line) { console->show(place, line); }

void hide() {
  if (console) console->hide();
}

}  // namespace trireme::log
