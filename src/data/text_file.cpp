// SPDX-License-Identifier: Apache-2.0
// Input files: which files are accepted, and how parts are read.
#include "text_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content.hpp"

namespace trireme {

namespace {

/// Endings are in lower case; the path's letters may be in either.
template <std::size_t N>
bool ends_in(std::string path, const std::array<std::string_view, N>& endings) {
  for (char& c : path) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return path.ends_with(ending); });
}

constexpr std::int64_t kHeadBytes = 4096;
constexpr std::array<std::string_view, 3> kJsonLines{".jsonl", ".ndjson", ".json"};
// Formats that begin with no bytes of their own.
constexpr std::array<std::string_view, 2> kCompressed{".br", ".lzma"};

std::uint64_t multiplier(std::uint64_t word) {
  std::uint64_t x = (word + 1) * 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return (x ^ (x >> 31U)) | 1U;
}

}  // namespace

namespace {

/// What the file holds, by its first bytes. A name decides only where the content does not.
void look_inside(TextInput& input, const TextFormat& format) {
  const std::string& path = input.path;
  TextFile file(input);
  const std::string head = file.read(0, kHeadBytes);
  TRM_REQUIRE(!ends_in(path, kCompressed), "{}: the file is compressed; decompress it first",
              path);
  const std::string trouble = why_not_text(head);
  TRM_REQUIRE(trouble.empty(), "{}: {}. --format text takes any bytes as they are", path,
              trouble);
  input.start = byte_order_mark(head);
  if (format.all_jsonl) {
    input.jsonl = true;
    return;
  }
  file.begin_at(input.start);
  const JsonLayout layout = json_layout(file);
  TRM_REQUIRE(layout != JsonLayout::array && layout != JsonLayout::one_big,
              "{}: it holds {}, not JSON lines, which are one object a line; convert it with "
              "{}. --format text takes it as it is",
              path, layout == JsonLayout::array ? "a JSON array" : "an object over many lines",
              to_json_lines(layout));
  input.jsonl = layout == JsonLayout::lines || ends_in(path, kJsonLines);
}

}  // namespace

std::vector<TextInput> find_inputs(const std::vector<std::string>& paths,
                                   const TextFormat& format) {
  std::vector<TextInput> inputs;
  TRM_REQUIRE(!paths.empty(), "there is no input file");
  for (const std::string& path : paths) {
    struct stat status {};
    TRM_REQUIRE_SYSTEM(stat(path.c_str(), &status) == 0, errno, "{}: cannot open", path);
    TRM_REQUIRE(S_ISREG(status.st_mode),
                "{}: not a regular file; only regular files can be input", path);
    TextInput& input = inputs.emplace_back(TextInput{path, status.st_size, false, 0});
    if (format.as_it_is) {
      (void)TextFile(input);  // it can be opened
    } else {
      look_inside(input, format);
    }
  }
  return inputs;
}

TextFile::TextFile(const TextInput& input)
    : path_(input.path),
      bytes_(input.bytes),
      start_(input.start),
      file_(open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
  TRM_REQUIRE_SYSTEM(file_ >= 0, errno, "{}: cannot open", path_);
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
