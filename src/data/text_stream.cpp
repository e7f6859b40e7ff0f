// SPDX-License-Identifier: Apache-2.0
// Streams of bytes. libarchive unpacks zstd, xz and bzip2. Its gzip filter verifies neither
// checksum nor length, and passes over what follows the data, so that zlib itself unpacks gzip.
#include "text_stream.hpp"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t kRawBytes = 1 << 18;

/// The file is not packed.
class Copier : public Unpacker {
 public:
  explicit Copier(RawBytes& raw) : raw_(raw) {}
  std::size_t read(char* to, std::size_t n) override {
    const std::string_view bytes = raw_.available();
    n = std::min(n, bytes.size());
    std::copy_n(bytes.data(), n, to);
    raw_.take(n);
    return n;
  }

 private:
  RawBytes& raw_;
};

/// One gzip member after another.
class Gunzip : public Unpacker {
 public:
  explicit Gunzip(RawBytes& raw) : raw_(raw) {
    constexpr int kGzip = 16;  // zlib's way to ask for gzip's header
    TRM_REQUIRE(inflateInit2(&state_, MAX_WBITS + kGzip) == Z_OK, "{}: zlib cannot start",
                raw_.path());
  }
  ~Gunzip() override { inflateEnd(&state_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  std::size_t read(char* to, std::size_t n) override {
    n = std::min<std::size_t>(n, 1 << 30);
    while (!ended_) {
      const std::string_view bytes = raw_.available();
      TRM_REQUIRE(!bytes.empty(), "{}: damaged: the gzip data is cut short", raw_.path());
      state_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      state_.avail_in = static_cast<uInt>(bytes.size());
      state_.next_out = reinterpret_cast<Bytef*>(to);
      state_.avail_out = static_cast<uInt>(n);
      const int code = inflate(&state_, Z_NO_FLUSH);
      raw_.take(bytes.size() - state_.avail_in);
      TRM_REQUIRE(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR,
                  "{}: damaged: the gzip data is wrong near byte {} ({})", raw_.path(),
                  raw_.taken(), state_.msg != nullptr ? state_.msg : "zlib");
      if (code == Z_STREAM_END) go_on();
      if (state_.avail_out < n) return n - state_.avail_out;
    }
    return 0;
  }

 private:
  /// At the end of a member: to the next one, or to the end. Zeros may follow, as on tapes.
  void go_on() {
    constexpr std::string_view kMember = "\x1f\x8b";
    std::string_view next = raw_.available(kMember.size());
    if (next.starts_with(kMember)) {
      TRM_CHECK(inflateReset(&state_) == Z_OK, "{}: zlib cannot go on", raw_.path());
      return;
    }
    for (; !next.empty(); next = raw_.available()) {
      TRM_REQUIRE(next.find_first_not_of('\0') == std::string_view::npos,
                  "{}: other bytes follow the gzip data at byte {}", raw_.path(), raw_.taken());
      raw_.take(next.size());
    }
    ended_ = true;
  }

  RawBytes& raw_;
  z_stream state_{};
  bool ended_ = false;
};

/// What libarchive unpacks.
class ArchiveUnpacker : public Unpacker {
 public:
  ArchiveUnpacker(Compression compression, RawBytes& raw)
      : raw_(raw), compression_(compression), archive_(archive_read_new()) {
    int code = ARCHIVE_FATAL;
    if (compression == Compression::zstd) code = archive_read_support_filter_zstd(archive_);
    if (compression == Compression::xz) code = archive_read_support_filter_xz(archive_);
    if (compression == Compression::bzip2) code = archive_read_support_filter_bzip2(archive_);
    const bool ready = code == ARCHIVE_OK &&  // else a program would have to unpack
                       archive_read_support_format_raw(archive_) == ARCHIVE_OK &&
                       archive_read_support_format_empty(archive_) == ARCHIVE_OK;
    const char* trouble = ready ? nullptr : "this libarchive has no such filter";
    if (ready && archive_read_open(archive_, this, nullptr, give, nullptr) != ARCHIVE_OK) {
      trouble = reason();
    }
    if (trouble != nullptr) {
      const std::string message = message_of(trouble);
      archive_read_free(archive_);
      throw_failure(message);
    }
  }
  ~ArchiveUnpacker() override { archive_read_free(archive_); }
  ArchiveUnpacker(const ArchiveUnpacker&) = delete;
  ArchiveUnpacker& operator=(const ArchiveUnpacker&) = delete;

  std::size_t read(char* to, std::size_t n) override {
    if (!begun_) begin();
    if (ended_) return 0;
    const la_ssize_t got = archive_read_data(archive_, to, n);
    if (got < 0) fail();
    if (got == 0) require_end();
    return static_cast<std::size_t>(got);
  }

 private:
  /// libarchive asks for bytes of the file. No exception may pass through it.
  static la_ssize_t give(archive* /*unused*/, void* self, const void** to) {
    auto& me = *static_cast<ArchiveUnpacker*>(self);
    std::string_view bytes;
    me.failure_ = failure_of([&] { bytes = me.raw_.available(); });
    if (me.failure_) return -1;
    me.raw_.take(bytes.size());
    *to = bytes.data();
    return static_cast<la_ssize_t>(bytes.size());
  }

  void begin() {
    begun_ = true;
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(archive_, &entry);
    if (code == ARCHIVE_EOF) return require_end();
    if (code != ARCHIVE_OK) fail();
  }

  void require_end() {
    ended_ = true;
    // The last filter is the file itself. libarchive passes over what follows bzip2's data.
    const bool all =
        archive_filter_bytes(archive_, -1) == raw_.taken() && raw_.available().empty();
    TRM_REQUIRE(all, "{}: other bytes follow the {} data at byte {}", raw_.path(),
                name_of(compression_), archive_filter_bytes(archive_, -1));
  }

  [[nodiscard]] const char* reason() const {
    const char* text = archive_error_string(archive_);
    return text != nullptr ? text : "libarchive gives no reason";
  }
  [[nodiscard]] std::string message_of(const char* trouble) const {
    return fmt::format("{}: damaged or cut short: its {} data cannot be unpacked: {}",
                       raw_.path(), name_of(compression_), trouble);
  }
  [[noreturn]] void fail() const { throw_failure(message_of(reason())); }
  [[noreturn]] void throw_failure(const std::string& message) const {
    if (failure_) throw Error(*failure_);
    throw Error(message);
  }

  RawBytes& raw_;
  Compression compression_;
  archive* archive_;
  std::optional<Error> failure_;  ///< why the file can't be read
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace

Compression compression_of(std::string_view head) {
  if (head.starts_with("\x1f\x8b"sv)) return Compression::gzip;
  if (head.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::zstd;
  if (head.starts_with("\xfd\x37zXZ\0"sv)) return Compression::xz;
  if (head.starts_with("BZh"sv) && head.size() >= 10) {  // a digit, then a block or the end
    const std::string_view magic = head.substr(4, 6);
    if (magic == "1AY&SY"sv || magic == "\x17\x72\x45\x38\x50\x90"sv) return Compression::bzip2;
  }
  return Compression::none;
}

std::string_view name_of(Compression compression) {
  constexpr std::array kNames{"plain"sv, "gzip"sv, "zstd"sv, "xz"sv, "bzip2"sv};
  return kNames[static_cast<std::size_t>(compression)];
}

std::unique_ptr<Unpacker> make_unpacker(Compression compression, RawBytes& raw) {
  if (compression == Compression::none) return std::make_unique<Copier>(raw);
  if (compression == Compression::gzip) return std::make_unique<Gunzip>(raw);
  return std::make_unique<ArchiveUnpacker>(compression, raw);
}

RawBytes::RawBytes(std::string path)
    : path_(std::move(path)),
      file_(path_ == "-" ? STDIN_FILENO : open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
  TRM_REQUIRE_SYSTEM(file_ >= 0, errno, "{}: cannot open", path_);
}

RawBytes::~RawBytes() {
  if (file_ != STDIN_FILENO) close(file_);
}

bool RawBytes::fill() {
  if (at_ > 0) {
    before_ += static_cast<std::int64_t>(at_);
    buffer_.erase(0, at_);
    at_ = 0;
  }
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + kRawBytes);
  ssize_t n = -1;
  do {
    n = ::read(file_, buffer_.data() + kept, kRawBytes);
  } while (n < 0 && errno == EINTR);
  buffer_.resize(kept + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  TRM_REQUIRE_SYSTEM(n >= 0, errno, "{}: cannot read", path_);
  return n > 0;
}

std::string_view RawBytes::available() { return available(1); }

std::string_view RawBytes::available(std::size_t n) {
  while (buffer_.size() - at_ < n && fill()) {
  }
  return std::string_view(buffer_).substr(at_);
}

std::string_view TextStream::peek(std::size_t n) {
  if (peeked_.size() < n) append(peeked_, n - peeked_.size());
  return std::string_view(peeked_).substr(0, n);
}

void TextStream::read(std::string& to, std::size_t n) {
  const std::size_t ready = std::min(n, peeked_.size());
  to.append(peeked_, 0, ready);
  peeked_.erase(0, ready);
  if (n > ready) append(to, n - ready);
}

void TextStream::append(std::string& to, std::size_t n) {
  const std::size_t before = to.size();
  to.resize(before + n);
  std::size_t done = 0;
  while (done < n) {
    const std::size_t got = unpacker_->read(to.data() + before + done, n - done);
    if (got == 0) break;
    done += got;
  }
  to.resize(before + done);
}

}  // namespace trireme
