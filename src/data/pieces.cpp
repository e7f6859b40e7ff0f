// SPDX-License-Identifier: Apache-2.0
// Pieces as bytes: fields of fixed size, then each list with its length.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "trireme/core/error.hpp"
#include "trireme/data/prepare.hpp"

namespace trireme {

namespace {

class Packer {
 public:
  explicit Packer(std::string& to) : to_(to) {}
  template <class T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    to_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  template <class T>
  void put_all(const T* first, std::size_t n) {
    put(static_cast<std::uint64_t>(n));
    to_.append(reinterpret_cast<const char*>(first), n * sizeof(T));
  }

 private:
  std::string& to_;
};

class Unpacked {
 public:
  explicit Unpacked(std::string_view bytes) : left_(bytes) {}
  template <class T>
  void get(T& value) {
    get_all(&value, 1);
  }
  template <class T>
  void get(std::vector<T>& values) {
    values.resize(count());
    get_all(values.data(), values.size());
  }
  std::size_t count() {
    std::uint64_t n = 0;
    get(n);
    TRM_CHECK(n <= left_.size(), "{} elements in {} bytes", n, left_.size());
    return n;
  }
  std::string text() {
    std::string words(count(), '\0');
    get_all(words.data(), words.size());
    return words;
  }

 private:
  template <class T>
  void get_all(T* to, std::size_t n) {
    TRM_CHECK(n * sizeof(T) <= left_.size(), "{} bytes of {}", n * sizeof(T), left_.size());
    if (n > 0) std::memcpy(to, left_.data(), n * sizeof(T));
    left_.remove_prefix(n * sizeof(T));
  }

  std::string_view left_;
};

/// What all pieces have, whatever their size.
struct Fixed {
  std::array<std::int64_t, kTroubles> troubles;
  std::uint64_t hash;
  std::int64_t lines;
  std::int64_t blank_lines;
  std::int64_t text_bytes;
  std::int64_t input_bytes;
  DocumentEnd tail;
  std::uint64_t has_crlf;
  std::uint64_t ends_file;
};

}  // namespace

void TextPieces::add_fault(Fault fault) {
  ++troubles[static_cast<std::size_t>(fault.trouble)];
  if (faults.size() < kMostFaults) faults.push_back(std::move(fault));
}

void TextPieces::end_document() {
  tail.at = std::ssize(tokens);
  ends.push_back(tail);
  tail = {};
}

void pack(const TextPieces& pieces, bool wide, std::string& to) {
  Packer packer(to);
  packer.put(Fixed{pieces.troubles, pieces.hash, pieces.lines, pieces.blank_lines,
                   pieces.text_bytes, pieces.input_bytes, pieces.tail, pieces.has_crlf,
                   pieces.ends_file});
  if (wide) {
    packer.put_all(pieces.tokens.data(), pieces.tokens.size());
  } else {
    const std::size_t n = pieces.tokens.size();
    packer.put(static_cast<std::uint64_t>(n));
    const std::size_t at = to.size();
    to.resize(at + n * sizeof(std::uint16_t));
    std::vector<std::uint16_t> narrow(pieces.tokens.begin(), pieces.tokens.end());
    if (n > 0) std::memcpy(to.data() + at, narrow.data(), n * sizeof(std::uint16_t));
  }
  packer.put_all(pieces.mask.data(), pieces.mask.size());
  packer.put_all(pieces.ends.data(), pieces.ends.size());
  packer.put(static_cast<std::uint64_t>(pieces.faults.size()));
  for (const Fault& fault : pieces.faults) {
    packer.put(fault.trouble);
    packer.put(fault.line);
    packer.put_all(fault.what.data(), fault.what.size());
  }
  packer.put(static_cast<std::uint64_t>(pieces.labels.size()));
  for (const std::string& label : pieces.labels) packer.put_all(label.data(), label.size());
}

TextPieces unpack(std::string_view bytes, bool wide) {
  Unpacked from(bytes);
  TextPieces pieces;
  Fixed fixed;
  from.get(fixed);
  pieces.troubles = fixed.troubles;
  pieces.hash = fixed.hash;
  pieces.lines = fixed.lines;
  pieces.blank_lines = fixed.blank_lines;
  pieces.text_bytes = fixed.text_bytes;
  pieces.input_bytes = fixed.input_bytes;
  pieces.tail = fixed.tail;
  pieces.has_crlf = fixed.has_crlf != 0;
  pieces.ends_file = fixed.ends_file != 0;
  if (wide) {
    from.get(pieces.tokens);
  } else {
    std::vector<std::uint16_t> narrow;
    from.get(narrow);
    pieces.tokens.assign(narrow.begin(), narrow.end());
  }
  from.get(pieces.mask);
  from.get(pieces.ends);
  pieces.faults.resize(from.count());
  for (Fault& fault : pieces.faults) {
    from.get(fault.trouble);
    from.get(fault.line);
    fault.what = from.text();
  }
  pieces.labels.resize(from.count());
  for (std::string& label : pieces.labels) label = from.text();
  return pieces;
}

}  // namespace trireme
