// SPDX-License-Identifier: Apache-2.0
// Seals: the first bytes of a file, as text.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>

#include "trireme/h5/checksum.hpp"

#include "openable.hpp"

namespace trireme::h5 {

namespace {

constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
constexpr std::string_view kTotal = " bytes in all\n";

std::string beginning(const Seal& seal) {
  return fmt::format("trireme {}, version ", seal.kind);
}

std::string with_version(const Seal& seal) {
  return fmt::format("{}{}, ", beginning(seal), seal.version);
}

/// The seal of all bytes behind it.
std::string text_of(const Seal& seal, std::uint64_t sum) {
  return fmt::format("{}XXH3 after byte {}: {:016x}\n", with_version(seal), seal.bytes, sum);
}

/// The seal of these ranges in a file of `total` bytes.
std::string text_of(const Seal& seal, std::uint64_t sum, std::int64_t total,
                    const std::vector<Extent>& ranges) {
  std::string text = fmt::format("{}XXH3 of these ranges: {:016x}\n{}{}", with_version(seal),
                                 sum, total, kTotal);
  for (const Extent& e : ranges) text += fmt::format("{} {}\n", e.offset, e.bytes);
  return text;
}

std::string padded(std::string text, const Seal& seal) {
  text.resize(static_cast<std::size_t>(seal.bytes), ' ');
  return text;
}

std::uint64_t checksum_behind(const std::string& path, const Seal& seal) {
  return checksum_of(path, {{seal.bytes, size_of_file(path) - seal.bytes}});
}

void put(const std::string& path, const Seal& seal, const std::string& text) {
  const std::string bytes = padded(text, seal);
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  TRM_REQUIRE_SYSTEM(file >= 0, errno, "{}: cannot open", path);
  const ssize_t n = pwrite(file, bytes.data(), bytes.size(), 0);
  const int reason = n < 0 ? errno : ENOSPC;
  const bool closed = close(file) == 0;
  TRM_REQUIRE_SYSTEM(n == std::ssize(bytes), reason, "{}: cannot write its seal", path);
  TRM_REQUIRE_SYSTEM(closed, errno, "{}: cannot write its seal", path);
}

/// Merges the ranges with the smallest gaps, so that at most `most` are left.
std::vector<Extent> merged(std::vector<Extent> ranges, std::size_t most) {
  if (ranges.size() <= most) return ranges;
  std::vector<std::int64_t> gaps;
  const auto gap = [&](std::size_t i) {
    return ranges[i].offset - ranges[i - 1].offset - ranges[i - 1].bytes;
  };
  for (std::size_t i = 1; i < ranges.size(); ++i) gaps.push_back(gap(i));
  const auto last = gaps.begin() + static_cast<std::ptrdiff_t>(ranges.size() - most - 1);
  std::ranges::nth_element(gaps, last);
  std::size_t left = ranges.size() - most;
  std::vector<Extent> out{ranges[0]};
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (left > 0 && gap(i) <= *last) {
      out.back().bytes = ranges[i].offset + ranges[i].bytes - out.back().offset;
      --left;
    } else {
      out.push_back(ranges[i]);
    }
  }
  return out;
}

/// Takes a number from the front of `text`; nothing if none is there.
bool take(std::string_view& text, std::int64_t& number) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || number < 0) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

/// The ranges that a seal lists; empty if the text makes no sense.
std::vector<Extent> ranges_in(std::string_view text, const Seal& seal, std::int64_t& total) {
  text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  std::vector<Extent> ranges;
  if (!take(text, total) || !take(text, kTotal)) return {};
  while (!text.empty() && text.front() != ' ') {
    Extent e;
    const bool good = take(text, e.offset) && take(text, " ") && take(text, e.bytes) &&
                      take(text, "\n") && e.offset >= seal.bytes && e.offset <= total &&
                      e.bytes <= total - e.offset;
    if (!good) return {};
    ranges.push_back(e);
  }
  return ranges;
}

/// Requires that the file has the checksum in `text`, which is its first bytes.
void require_sealed(const std::string& path, const Seal& seal, const std::string& text) {
  if (text.starts_with(with_version(seal) + "XXH3 after byte ")) {
    TRM_REQUIRE(text == padded(text_of(seal, checksum_behind(path, seal)), seal),
                "{}: damaged: its checksum is wrong", path);
    return;
  }
  std::int64_t total = 0;
  const std::vector<Extent> ranges = ranges_in(text, seal, total);
  const std::int64_t bytes = size_of_file(path);
  TRM_REQUIRE(ranges.empty() || bytes == total,
              "{}: damaged: it has {} bytes and should have {}", path, bytes, total);
  TRM_REQUIRE(!ranges.empty() &&
                  text == padded(text_of(seal, checksum_of(path, ranges), total, ranges), seal),
              "{}: damaged: its metadata do not have the checksum that was noted when they "
              "were written",
              path);
}

}  // namespace

void write_seal(const std::string& path, const Seal& seal) {
  put(path, seal, text_of(seal, checksum_behind(path, seal)));
}

void write_seal(const std::string& path, const Seal& seal, std::vector<Extent> data) {
  const std::int64_t total = size_of_file(path);
  data.push_back({0, seal.bytes});
  std::vector<Extent> ranges = complement(std::move(data), total);
  const auto room = static_cast<std::size_t>(seal.bytes);
  while (text_of(seal, 0, total, ranges).size() > room) {
    const std::size_t fewer = ranges.size() * 7 / 8;
    ranges = merged(std::move(ranges), fewer);
  }
  put(path, seal, text_of(seal, checksum_of(path, ranges), total, ranges));
}

void break_seal(const std::string& path, const Seal& seal) {
  put(path, seal, with_version(seal) + "being changed in place\n");
}

SealState check_seal(const std::string& path, const Seal& seal) {
  require_openable(path, Mode::read);
  std::string text(static_cast<std::size_t>(seal.bytes), '\0');
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  TRM_REQUIRE_SYSTEM(file.is_open(), errno, "{}: cannot open", path);
  if (!file.read(text.data(), seal.bytes)) {
    TRM_REQUIRE_SYSTEM(!file.bad(), errno, "{}: cannot read", path);
    text.resize(static_cast<std::size_t>(file.gcount()));
  }
  if (text.starts_with(kSignature)) return SealState::none;
  const std::string start = beginning(seal);
  TRM_REQUIRE(text.starts_with(start), "{}: no {}, or its beginning is damaged{}", path,
              seal.kind, seal.advice);
  TRM_REQUIRE(std::ssize(text) == seal.bytes, "{}: damaged: it is cut short", path);
  std::string_view rest = std::string_view(text).substr(start.size());
  std::int64_t version = 0;
  TRM_REQUIRE(take(rest, version) && rest.starts_with(','),
              "{}: damaged: its seal is unreadable", path);
  const bool known = version == seal.version ||
                     (seal.oldest > 0 && version >= seal.oldest && version < seal.version);
  TRM_REQUIRE(known, "{}: its format has version {}; this program reads version{} {}", path,
              version, seal.oldest > 0 ? fmt::format("s {} to", seal.oldest) : "",
              seal.version);
  Seal found = seal;
  found.version = version;
  if (text == padded(with_version(found) + "being changed in place\n", found)) {
    return SealState::broken;
  }
  require_sealed(path, found, text);
  return SealState::whole;
}

}  // namespace trireme::h5
