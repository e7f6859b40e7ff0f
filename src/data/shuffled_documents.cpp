// SPDX-License-Identifier: Apache-2.0
// Documents in a random order, sorted outside of memory.
#include "trireme/data/shuffled_documents.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "trireme/core/random.hpp"

#include "scratch_file.hpp"

namespace trireme {

namespace {

constexpr unsigned kBits = 6;  // a key's bits for each division
constexpr std::size_t kFiles = 1U << kBits;
constexpr std::size_t kBuffer = 1 << 18;

/// Stands before the documents of a group.
struct RecordHead {
  std::uint64_t key;
  std::uint64_t number;
  std::uint64_t bytes;  ///< behind the head
};

/// Stands before the tokens and the mask of a document.
struct DocumentHead {
  std::uint64_t tokens;
  double label;
  std::uint32_t end_counts;
  std::uint32_t has_mask;
};

template <class T>
void put_value(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <class T>
T take_value(std::string_view& from) {
  TRM_CHECK(from.size() >= sizeof(T), "{} bytes of {}", from.size(), sizeof(T));
  T value;
  std::memcpy(&value, from.data(), sizeof(T));
  from.remove_prefix(sizeof(T));
  return value;
}

template <class T>
std::vector<T> take_values(std::string_view& from, std::size_t n) {
  TRM_CHECK(from.size() / sizeof(T) >= n, "{} elements in {} bytes", n, from.size());
  std::vector<T> values(n);
  if (n > 0) std::memcpy(values.data(), from.data(), n * sizeof(T));
  from.remove_prefix(n * sizeof(T));
  return values;
}

/// Gives the documents of a record to the sink.
void give_record(std::string_view record, bool wide, DocumentSink& sink) {
  while (!record.empty()) {
    const auto head = take_value<DocumentHead>(record);
    std::vector<std::int32_t> tokens;
    if (wide) {
      tokens = take_values<std::int32_t>(record, head.tokens);
    } else {
      const auto narrow = take_values<std::uint16_t>(record, head.tokens);
      tokens.assign(narrow.begin(), narrow.end());
    }
    const auto mask = take_values<std::uint8_t>(record, head.has_mask != 0 ? head.tokens : 0);
    sink.append(tokens, mask);
    sink.end_document(head.end_counts != 0, head.label);
  }
}

}  // namespace

/// Files of records whose keys agree in bits above `shift` + kBits.
class ShuffledDocuments::Buckets {
 public:
  Buckets(std::string folder, unsigned shift) : folder_(std::move(folder)), shift_(shift) {}

  void add(const RecordHead& head, std::string_view record) {
    const std::size_t i = (head.key >> shift_) % kFiles;
    std::string& buffer = buffers_[i];
    put_value(buffer, head);
    buffer += record;
    if (buffer.size() >= kBuffer) flush(i);
  }
  void flush(std::size_t i) {
    if (buffers_[i].empty()) return;
    if (files_[i] == nullptr) files_[i] = std::make_unique<ScratchFile>(folder_);
    files_[i]->append(buffers_[i]);
    buffers_[i] = {};
  }
  [[nodiscard]] std::unique_ptr<ScratchFile> take_file(std::size_t i) {
    flush(i);
    return std::move(files_[i]);
  }
  [[nodiscard]] unsigned shift() const { return shift_; }

 private:
  std::string folder_;
  unsigned shift_;
  std::array<std::string, kFiles> buffers_;
  std::array<std::unique_ptr<ScratchFile>, kFiles> files_;
};

ShuffledDocuments::ShuffledDocuments(ShuffleOptions options)
    : options_(std::move(options)),
      buckets_(std::make_unique<Buckets>(options_.folder, 64 - kBits)) {}

ShuffledDocuments::~ShuffledDocuments() = default;

void ShuffledDocuments::append(std::span<const std::int32_t> tokens,
                               std::span<const std::uint8_t> mask) {
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  mask_.insert(mask_.end(), mask.begin(), mask.end());
}

void ShuffledDocuments::drop_document() {
  tokens_.clear();
  mask_.clear();
}

void ShuffledDocuments::end_document(bool end_counts, double label) {
  TRM_CHECK(mask_.empty() || mask_.size() == tokens_.size(), "a mask of {} for {} tokens",
            mask_.size(), tokens_.size());
  put_value(record_,
            DocumentHead{tokens_.size(), label, end_counts ? 1U : 0U, mask_.empty() ? 0U : 1U});
  if (options_.wide) {
    record_.append(reinterpret_cast<const char*>(tokens_.data()), tokens_.size() * 4);
  } else {
    const std::vector<std::uint16_t> narrow(tokens_.begin(), tokens_.end());
    record_.append(reinterpret_cast<const char*>(narrow.data()), narrow.size() * 2);
  }
  record_.append(reinterpret_cast<const char*>(mask_.data()), mask_.size());
  drop_document();
  if (++in_group_ < options_.group) return;
  const auto words = philox({options_.seed, stream_of("order of documents")}, groups_);
  const std::uint64_t key = (std::uint64_t{words[0]} << 32U) | words[1];
  buckets_->add({key, groups_, record_.size()}, record_);
  record_.clear();
  in_group_ = 0;
  ++groups_;
}

void ShuffledDocuments::give(DocumentSink& sink) { give(*buckets_, sink); }

void ShuffledDocuments::give(Buckets& buckets, DocumentSink& sink) {
  for (std::size_t i = 0; i < kFiles; ++i) {
    const auto file = buckets.take_file(i);
    if (file == nullptr) continue;
    if (file->bytes() > options_.memory && buckets.shift() >= kBits) {
      Buckets parts(options_.folder, buckets.shift() - kBits);
      for (std::int64_t at = 0; at < file->bytes();) {
        const std::string bytes = file->read(at, sizeof(RecordHead));
        std::string_view view = bytes;
        const auto head = take_value<RecordHead>(view);
        at += static_cast<std::int64_t>(sizeof(RecordHead));
        parts.add(head, file->read(at, static_cast<std::int64_t>(head.bytes)));
        at += static_cast<std::int64_t>(head.bytes);
      }
      give(parts, sink);
      continue;
    }
    const std::string bytes = file->read(0, file->bytes());
    std::vector<std::pair<RecordHead, std::string_view>> records;
    for (std::string_view left = bytes; !left.empty();) {
      const auto head = take_value<RecordHead>(left);
      records.emplace_back(head, left.substr(0, head.bytes));
      left.remove_prefix(head.bytes);
    }
    std::ranges::sort(records, [](const auto& a, const auto& b) {
      return std::pair(a.first.key, a.first.number) < std::pair(b.first.key, b.first.number);
    });
    for (const auto& [head, record] : records) give_record(record, options_.wide, sink);
  }
}

}  // namespace trireme
