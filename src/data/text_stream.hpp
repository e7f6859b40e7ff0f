// SPDX-License-Identifier: Apache-2.0
// The bytes of a file or of standard input from first to last, unpacked where they are packed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "trireme/data/prepare.hpp"

namespace trireme {

/// How data that begins like this is packed.
[[nodiscard]] Compression compression_of(std::string_view head);
[[nodiscard]] std::string_view name_of(Compression compression);

/// A file's bytes as they are.
class RawBytes {
 public:
  /// Opens a file, or takes standard input for "-". Throws Error if it can't be opened.
  explicit RawBytes(std::string path);
  ~RawBytes();
  RawBytes(const RawBytes&) = delete;
  RawBytes& operator=(const RawBytes&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Bytes that were read and not yet taken; more are read if there are none. Empty at the end.
  [[nodiscard]] std::string_view available();
  /// Reads until `n` bytes are available, or all that are left.
  [[nodiscard]] std::string_view available(std::size_t n);
  void take(std::size_t n) { at_ += n; }
  [[nodiscard]] std::int64_t taken() const { return before_ + static_cast<std::int64_t>(at_); }

 private:
  bool fill();

  std::string path_;
  int file_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::int64_t before_ = 0;  ///< bytes of the file before the buffer
};

/// Unpacks.
class Unpacker {
 public:
  virtual ~Unpacker() = default;
  /// Reads up to `n` bytes, at least one. Returns their number, which is 0 at the end. Throws
  /// Error that names the file where it is damaged, cut short or followed by other bytes.
  virtual std::size_t read(char* to, std::size_t n) = 0;
};
[[nodiscard]] std::unique_ptr<Unpacker> make_unpacker(Compression compression, RawBytes& raw);

class TextStream {
 public:
  /// `as_it_is`: packed bytes stay packed.
  explicit TextStream(const std::string& path, bool as_it_is = false)
      : raw_(path),
        compression_(as_it_is ? Compression::none : compression_of(raw_.available(kHead))),
        unpacker_(make_unpacker(compression_, raw_)) {}

  [[nodiscard]] Compression compression() const { return compression_; }
  /// The first `n` bytes that are not yet read, or all that are left.
  [[nodiscard]] std::string_view peek(std::size_t n);
  /// Appends up to `n` bytes; fewer only at the end.
  void read(std::string& to, std::size_t n);
  /// Bytes of the file that were used.
  [[nodiscard]] std::int64_t consumed() const { return raw_.taken(); }

 private:
  static constexpr std::size_t kHead = 64;
  void append(std::string& to, std::size_t n);

  RawBytes raw_;
  Compression compression_;
  std::unique_ptr<Unpacker> unpacker_;
  std::string peeked_;
};

}  // namespace trireme
