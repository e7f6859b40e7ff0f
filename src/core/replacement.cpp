// SPDX-License-Identifier: Apache-2.0
// POSIX calls behind the replacement of files.
#include "trireme/core/replacement.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

#include "trireme/core/error.hpp"

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

std::string folder_of(const std::string& path) {
  return std::filesystem::absolute(path).parent_path().string();
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

Replacement::Replacement(std::string path)
    : path_(std::move(path)), temporary_(path_ + ".tmp") {}

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
    const Descriptor out(file.temporary(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t n = write(out.number(), text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      TRM_REQUIRE_SYSTEM(n > 0, errno, "{}: cannot write", file.temporary());
      done += static_cast<std::size_t>(n);
    }
  }
  file.commit(durability);
}

}  // namespace trireme
