// SPDX-License-Identifier: Apache-2.0
// POSIX calls behind the replacement of files.
#include "trireme/core/replacement.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <random>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "trireme/core/error.hpp"
#include "trireme/core/regular_file.hpp"

namespace trireme {

namespace {

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : number_(open(path.c_str(), flags, 0666)) {
    TRM_REQUIRE_SYSTEM(number_ >= 0, errno, "{}: cannot open", path);
  }
  ~Descriptor() { close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

constexpr std::string_view kEnding = ".tmp";

/// Whether a text is "4711-9f3a21c0": digits, a dash, eight hexadecimal digits.
bool is_mark(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == 0 || dash == std::string_view::npos || text.size() != dash + 9) return false;
  const auto digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  const auto hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
  return std::ranges::all_of(text.substr(0, dash), digit) &&
         std::ranges::all_of(text.substr(dash + 1), hex);
}

/// Creates an empty file under a name that was free. Returns 0 or an errno.
int create_alone(const std::string& path) {
  const int file =
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file < 0) return errno;
  close(file);
  return 0;
}

}  // namespace

void sync_to_disk(const std::string& path) {
  const Descriptor file(path, O_RDONLY | O_CLOEXEC);
  TRM_REQUIRE_SYSTEM(fsync(file.number()) == 0, errno, "{}: cannot write to disk", path);
}

void rename_path(const std::string& from, const std::string& to) {
  TRM_REQUIRE_SYSTEM(std::rename(from.c_str(), to.c_str()) == 0, errno,
                     "{}: cannot rename to {}", from, to);
}

std::string process_mark() {
  static std::mutex mutex;
  static pid_t process = 0;  // a child of a process gets a mark of its own
  static std::string mark;
  const std::scoped_lock lock(mutex);
  if (std::exchange(process, getpid()) != getpid()) mark.clear();
  if (mark.empty()) mark = fmt::format("{}-{:08x}", process, std::random_device{}());
  return mark;
}

std::string temporary_name(const std::string& path, const std::string& mark) {
  return fmt::format("{}.{}{}", path, mark, kEnding);
}

std::optional<std::string> base_of_temporary(const std::string& name) {
  if (!name.ends_with(kEnding)) return std::nullopt;
  const std::string base = name.substr(0, name.size() - kEnding.size());
  const auto dot = base.rfind('.');
  if (dot == std::string::npos || !is_mark(std::string_view(base).substr(dot + 1))) return base;
  return base.substr(0, dot);
}

Replacement::Replacement(std::string path)
    : path_(std::move(path)), temporary_(temporary_name(path_, process_mark())) {
  const std::string kind = other_kind(path_);
  TRM_REQUIRE(kind.empty(), "{}: cannot write: it is {}", path_, kind);
  int reason = create_alone(temporary_);
  if (reason == EEXIST) {  // this process could not remove it earlier
    unlink(temporary_.c_str());
    reason = create_alone(temporary_);
  }
  TRM_REQUIRE_SYSTEM(reason == 0, reason, "{}: cannot create a file in the folder {}", path_,
                     folder_of(path_));
}

Replacement::~Replacement() {
  if (committed_) return;
  // HDF5 keeps a file open that it could not write: its space is given back all the same.
  std::error_code ignored;
  std::filesystem::resize_file(temporary_, 0, ignored);
  unlink(temporary_.c_str());
}

void Replacement::commit(Durability durability) {
  if (durability == Durability::power) sync_to_disk(temporary_);
  rename_path(temporary_, path_);
  committed_ = true;
  if (durability == Durability::power) sync_to_disk(folder_of(path_));
}

void replace_text(const std::string& path, const std::string& text, Durability durability) {
  Replacement file(path);
  {
    const Descriptor out(file.temporary(), O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t n = write(out.number(), text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      TRM_REQUIRE_SYSTEM(n > 0, errno, "{}: cannot write", path);
      done += static_cast<std::size_t>(n);
    }
  }
  file.commit(durability);
}

}  // namespace trireme
