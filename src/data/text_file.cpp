// SPDX-License-Identifier: Apache-2.0
// How parts of files are read.
#include "text_file.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trireme {

namespace {

std::uint64_t multiplier(std::uint64_t word) {
  std::uint64_t x = (word + 1) * 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return (x ^ (x >> 31U)) | 1U;
}

}  // namespace

TextFile::TextFile(const TextInput& input)
    : path_(input.path),
      bytes_(input.bytes),
      start_(input.start),
      file_(open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
  TRM_REQUIRE_SYSTEM(file_ >= 0, errno, "{}: cannot open", path_);
  struct stat status {};
  const bool known = fstat(file_, &status) == 0;
  if (known && status.st_size == bytes_) return;
  close(file_);
  throw Error(fmt::format("{}: the file became {} while it was read, or differs between hosts",
                          path_, status.st_size < bytes_ ? "shorter" : "longer"));
}

TextFile::~TextFile() { close(file_); }

std::string TextFile::read(std::int64_t begin, std::int64_t end) const {
  begin = std::max<std::int64_t>(begin, 0);
  end = std::min(end, bytes_);
  std::string text(static_cast<std::size_t>(std::max<std::int64_t>(end - begin, 0)), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const auto n = pread(file_, text.data() + done, text.size() - done,
                         begin + static_cast<std::int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    TRM_REQUIRE_SYSTEM(n >= 0, errno, "{}: cannot read", path_);
    TRM_REQUIRE(n > 0, "{}: the file became shorter while it was read", path_);
    done += static_cast<std::size_t>(n);
  }
  return text;
}

std::uint64_t hash_share(std::string_view text, std::int64_t offset) {
  std::uint64_t sum = 0;
  auto word = static_cast<std::uint64_t>(offset) / 8;
  auto at = static_cast<std::size_t>(offset % 8);
  while (!text.empty()) {
    const std::size_t n = std::min(8 - at, text.size());
    std::uint64_t value = 0;
    if (n == 8 && std::endian::native == std::endian::little) {
      std::memcpy(&value, text.data(), 8);
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        value |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * (at + i));
      }
    }
    sum += value * multiplier(word);
    text.remove_prefix(n);
    ++word;
    at = 0;
  }
  return sum;
}

}  // namespace trireme
