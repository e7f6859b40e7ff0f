// SPDX-License-Identifier: Apache-2.0
// Reads token files, with every check that a foreign file needs.
#include "trireme/data/token_file.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "trireme/core/log.hpp"

#include "open_token_files.hpp"
#include "token_seal.hpp"

namespace trireme {

namespace {

constexpr std::string_view kFormat = "trireme-tokens";
constexpr std::array<std::string_view, 4> kKinds{"text", "chat", "pairs", "labelled"};
constexpr std::int64_t kMostBlock = std::int64_t{1} << 24U;  // is read into memory

/// Reads a block of `count` elements and checks it. The thread keeps its last block, since many
/// samples of a small file lie in one; the checksum tells whether this is the wanted one.
const std::vector<std::byte>& checked_block(const h5::Dataset& data, std::int64_t block,
                                            const std::vector<std::int64_t>& checksums,
                                            std::int64_t at, std::int64_t count) {
  struct Block {
    bool whole = false;
    std::int64_t checksum = 0;
    std::vector<std::byte> bytes;
  };
  thread_local Block last;
  const DType dtype = data.dtype();
  const std::int64_t checksum = checksums[static_cast<std::size_t>(at / block)];
  const std::size_t bytes = static_cast<std::size_t>(count) * size_of(dtype);
  if (last.whole && last.checksum == checksum && last.bytes.size() == bytes) return last.bytes;
  last.whole = false;
  last.bytes.resize(bytes);
  data.read(Box(Shape{at}, Shape{count}), View(last.bytes.data(), dtype, Shape{count}));
  h5::require_checksums(
      data.where(), {last.bytes.data(), at, count, static_cast<std::int64_t>(size_of(dtype))},
      block, checksums);
  last.whole = true;
  last.checksum = checksum;
  return last.bytes;
}

/// One copy of equal texts: the definition of a tokenizer has megabytes, and a run may read
/// hundreds of files of one tokenizer.
std::shared_ptr<const std::string> shared_text(std::string text) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<const std::string>, std::less<>> known;
  const std::lock_guard lock(mutex);
  std::erase_if(known, [](const auto& entry) { return entry.second.expired(); });
  const auto [at, fresh] = known.try_emplace(std::move(text));
  if (auto held = at->second.lock()) return held;
  auto made = std::make_shared<const std::string>(at->first);
  at->second = made;
  return made;
}

}  // namespace

TokenFile::TokenFile(const std::string& path, DocumentCheck check) : path_(path) {
  const std::shared_ptr<OpenTokenFile> file = open_file();
  TRM_REQUIRE(file->file.has_attribute("format") && file->file.text("format") == kFormat,
              "{}: not a token file (`trireme prepare` makes them from text)", path);
  read_attributes(file->file);
  tokens_in_ = open_array(*file, "tokens", &OpenTokenFile::tokens);
  documents_in_ = open_array(*file, "documents", &OpenTokenFile::documents);
  TRM_REQUIRE(tokens_in_.dtype == DType::u16 || tokens_in_.dtype == DType::u32,
              "{}: it must be 1-D of u16 or u32, but is {} of {}", tokens_in_.where,
              Shape{tokens_in_.count}.str(), name_of(tokens_in_.dtype));
  TRM_REQUIRE(documents_in_.dtype == DType::u64, "{}: it must be 1-D of u64, but is {} of {}",
              documents_in_.where, Shape{documents_in_.count}.str(),
              name_of(documents_in_.dtype));
  tokens_ = tokens_in_.count;
  documents_ = documents_in_.count - 1;
  TRM_REQUIRE(documents_ >= 0, "{}: the dataset is empty", documents_in_.where);
  if (version_ > kOldestSealed) open_companions(*file);
  static_cast<void>(OpenTokenFiles::instance().get(this, [&] { return Opened(file); }));
  if (check == DocumentCheck::none) return;
  check_documents([](std::int64_t) {});
  if (version_ > 1) return;
  log::warn(
      "{}: its format is older and has no checksums, so that damage may stay unseen; "
      "`trireme prepare` makes it anew with checksums",
      path);
}

TokenFile::Registration::~Registration() { OpenTokenFiles::instance().forget(owner); }

std::shared_ptr<OpenTokenFile> TokenFile::open_file() {
  // HDF5 trusts the metadata, and damage there can crash it: check before it opens the file.
  const h5::SealState seal = h5::check_seal(path_, kTokenSeal);
  TRM_REQUIRE(seal != h5::SealState::broken, "{}: damaged: its seal is broken", path_);
  version_ = seal == h5::SealState::whole ? kOldestSealed : 1;  // at least
  auto opened = std::make_shared<OpenTokenFile>();
  opened->file = h5::File(path_, h5::Mode::read);
  return opened;
}

TokenFile::Opened TokenFile::opened() const {
  return OpenTokenFiles::instance().get(this, [&] { return open_again(); });
}

TokenFile::Opened TokenFile::open_again() const {
  const h5::SealState seal = h5::check_seal(path_, kTokenSeal);
  const bool sealed = seal == h5::SealState::whole;
  TRM_REQUIRE(seal != h5::SealState::broken && sealed == (version_ > 1),
              "{}: the file changed while the run read it", path_);
  auto opened = std::make_shared<OpenTokenFile>();
  opened->file = h5::File(path_, h5::Mode::read);
  for (const Array* array : {&tokens_in_, &documents_in_, &loss_mask_in_, &labels_in_}) {
    if (array->data == nullptr) continue;
    h5::Dataset data = opened->file.dataset(array->name, 0);
    TRM_REQUIRE(data.dtype() == array->dtype && data.shape() == Shape{array->count} &&
                    !data.is_virtual(),
                "{}: the file changed while the run read it", array->where);
    (*opened).*(array->data) = std::move(data);
  }
  return opened;
}

TokenFile::Array TokenFile::open_array(OpenTokenFile& file, const std::string& name,
                                       h5::Dataset OpenTokenFile::*data) const {
  // Samples lie anywhere in the file. Without a chunk cache, only what is wanted is read.
  const h5::Dataset& opened = file.*data = file.file.dataset(name, 0);
  Array array{.data = data,
              .name = name,
              .where = opened.where(),
              .dtype = opened.dtype(),
              .checksums = {}};
  const Shape shape = opened.shape();
  TRM_REQUIRE(shape.rank() == 1 && !opened.is_virtual(),
              "{}: it must be 1-D in this file, but is {}{} of {}", array.where,
              opened.is_virtual() ? "virtual " : "", shape.str(), name_of(array.dtype));
  array.count = shape.count();
  if (version_ == 1) return array;
  const h5::Dataset checksums = file.file.dataset("checksums/" + name);
  const Shape blocks = checksums.shape();
  array.block = checksums.integer("block");
  TRM_REQUIRE(array.block > 0 && array.block <= kMostBlock && blocks.rank() == 1 &&
                  checksums.dtype() == DType::i64 &&
                  blocks.count() == (array.count + array.block - 1) / array.block,
              "{}: {} of {} checksums do not fit blocks of {} of {} elements",
              checksums.where(), blocks.str(), name_of(checksums.dtype()), array.block,
              array.count);
  TRM_REQUIRE(blocks.count() <= h5::size_of_file(path_),
              "{}: {} checksums are more than the file holds", checksums.where(),
              blocks.count());
  array.checksums.resize(static_cast<std::size_t>(blocks.count()));
  if (blocks.count() > 0) {
    checksums.read(View(array.checksums.data(), DType::i64, blocks));
  }
  return array;
}

void TokenFile::read_array(const Array& array, std::int64_t offset, const View& to) const {
  const Opened file = opened();
  const h5::Dataset& data = (*file).*(array.data);
  const std::int64_t n = to.count();
  if (array.block == 0 || n == 0 || !Box(Shape{offset}, Shape{n}).inside(Shape{array.count})) {
    return data.read(Box(Shape{offset}, Shape{n}), to);
  }
  const auto size = static_cast<std::int64_t>(size_of(array.dtype));
  auto* out = static_cast<std::byte*>(to.raw());
  for (std::int64_t at = offset / array.block * array.block; at < offset + n;
       at += array.block) {
    const std::int64_t count = std::min(array.block, array.count - at);
    const std::vector<std::byte>& stored =
        checked_block(data, array.block, array.checksums, at, count);
    const std::int64_t first = std::max(at, offset);
    const std::int64_t end = std::min(at + count, offset + n);
    std::memcpy(out + (first - offset) * size, stored.data() + (first - at) * size,
                static_cast<std::size_t>((end - first) * size));
  }
}

void TokenFile::read_attributes(const h5::File& file) {
  const std::int64_t version = file.integer("format_version");
  TRM_REQUIRE(version >= 1 && version <= kTokenFormatVersion,
              "{}: token format version {}, but this program reads 1 to {}", path_, version,
              kTokenFormatVersion);
  TRM_REQUIRE((version == 1) == (version_ == 1),
              "{}: its format has version {}, but {}; `trireme prepare` makes it anew", path_,
              version,
              version_ == 1 ? "the checksum that should begin the file is missing"
                            : "its seal belongs to another");
  version_ = version;
  vocab_size_ = file.integer("vocab_size");
  TRM_REQUIRE(vocab_size_ > 0 && vocab_size_ <= std::numeric_limits<std::int32_t>::max(),
              "{}: a vocabulary of {} is not possible", path_, vocab_size_);
  const std::int64_t end = file.integer("end_of_document");
  TRM_REQUIRE(end >= 0 && end < vocab_size_,
              "{}: end-of-document id {} is not in the vocabulary of {}", path_, end,
              vocab_size_);
  end_of_document_ = static_cast<std::int32_t>(end);
  tokenizer_kind_ = file.text("tokenizer");
  if (tokenizer_kind_ == "unknown") tokenizer_kind_.clear();  // converted data
  tokenizer_definition_ = shared_text(file.text("tokenizer_definition"));
  source_hash_ = file.text("source_hash");
  kind_ = version_ > kOldestSealed ? file.text("kind") : "text";
  TRM_REQUIRE(std::ranges::find(kKinds, kind_) != kKinds.end(),
              "{}: its documents are of the kind \"{}\", but this program knows {}", path_,
              kind_, fmt::join(kKinds, ", "));
}

void TokenFile::open_companions(OpenTokenFile& file) {
  const auto open = [&](const std::string& name, h5::Dataset OpenTokenFile::*data, DType dtype,
                        std::int64_t count) {
    Array array = open_array(file, name, data);
    TRM_REQUIRE(array.dtype == dtype && array.count == count,
                "{}: it must be {} of {}, but is {} of {}", array.where, count, name_of(dtype),
                array.count, name_of(array.dtype));
    return array;
  };
  has_loss_mask_ = file.file.has_dataset("loss_mask");
  if (has_loss_mask_) {
    loss_mask_in_ = open("loss_mask", &OpenTokenFile::loss_mask, DType::u8, tokens_);
  }
  has_labels_ = kind_ == "labelled";
  if (has_labels_) labels_in_ = open("labels", &OpenTokenFile::labels, DType::f64, documents_);
  if (has_labels_ && file.file.has("label_names")) {
    label_names_ = file.file.read_texts("label_names");
  }
  TRM_REQUIRE(kind_ != "pairs" || documents_ % 2 == 0, "{}: {} documents cannot stand in pairs",
              path_, documents_);
}

void TokenFile::check_documents(const std::function<void(std::int64_t bytes)>& progress) const {
  const std::string& where = documents_in_.where;
  constexpr std::int64_t kStep = 1 << 17;  // 1 MiB
  std::vector<std::uint64_t> part(static_cast<std::size_t>(std::min(kStep, documents_ + 1)));
  std::uint64_t last = 0;
  for (std::int64_t at = 0; at <= documents_; at += kStep) {
    const std::int64_t n = std::min(kStep, documents_ + 1 - at);
    read_array(documents_in_, at, View(part.data(), DType::u64, Shape{n}));
    TRM_REQUIRE(at > 0 || part[0] == 0, "{}: the dataset does not start at 0", where);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint64_t offset = part[static_cast<std::size_t>(i)];
      TRM_REQUIRE(offset >= last, "{}: offset {} is {}, below the one before it, {}", where,
                  at + i, offset, last);
      TRM_REQUIRE(offset <= static_cast<std::uint64_t>(tokens_),
                  "{}: offset {} is {}, but there are {} tokens", where, at + i, offset,
                  tokens_);
      last = offset;
    }
    progress(n * static_cast<std::int64_t>(sizeof(std::uint64_t)));
  }
  TRM_REQUIRE(last == static_cast<std::uint64_t>(tokens_),
              "{}: the last document ends at {}, but there are {} tokens", where, last,
              tokens_);
}

std::int64_t TokenFile::document_start(std::int64_t i) const {
  std::uint64_t offset = 0;
  read_array(documents_in_, i, View(&offset, DType::u64, Shape{1}));
  return static_cast<std::int64_t>(offset);
}

void TokenFile::read(std::int64_t offset, std::span<std::int32_t> to) const {
  const auto n = static_cast<std::int64_t>(to.size());
  if (wide()) {  // read unchanged into int32; ids outside the vocabulary are caught below
    read_array(tokens_in_, offset, View(to.data(), DType::u32, Shape{n}));
  } else {
    thread_local std::vector<std::uint16_t> narrow;
    narrow.resize(to.size());
    read_array(tokens_in_, offset, View(narrow.data(), DType::u16, Shape{n}));
    std::ranges::copy(narrow, to.begin());
  }
  require_vocabulary(path_, offset, to, vocab_size_);
}

void TokenFile::read_loss_mask(std::int64_t offset, std::span<std::uint8_t> to) const {
  if (!has_loss_mask_) {
    std::ranges::fill(to, std::uint8_t{1});
    return;
  }
  read_array(loss_mask_in_, offset, View(to.data(), DType::u8, Shape{std::ssize(to)}));
  const auto bad = std::ranges::find_if(to, [](std::uint8_t value) { return value > 1; });
  TRM_REQUIRE(bad == to.end(), "{}: element {} is {}, but must be 0 or 1", loss_mask_in_.where,
              offset + (bad - to.begin()), *bad);
}

void TokenFile::read_labels(std::int64_t first, std::span<double> to) const {
  TRM_REQUIRE(has_labels_, "{}: its documents have no labels", path_);
  read_array(labels_in_, first, View(to.data(), DType::f64, Shape{std::ssize(to)}));
}

void TokenFile::verify(const std::function<void(std::int64_t bytes)>& progress) const {
  check_documents(progress);
  constexpr std::int64_t kStep = 16 * kTokenChunk;
  std::vector<std::int32_t> part;
  for (std::int64_t at = 0; at < tokens_; at += kStep) {
    part.resize(static_cast<std::size_t>(std::min(kStep, tokens_ - at)));
    read(at, part);
    progress(std::ssize(part) * static_cast<std::int64_t>(size_of(tokens_in_.dtype)));
  }
  std::vector<std::uint8_t> mask;
  for (std::int64_t at = 0; has_loss_mask_ && at < tokens_; at += kStep) {
    mask.resize(static_cast<std::size_t>(std::min(kStep, tokens_ - at)));
    read_loss_mask(at, mask);
    progress(std::ssize(mask));
  }
  std::vector<double> labels;
  for (std::int64_t at = 0; has_labels_ && at < documents_; at += kStep) {
    labels.resize(static_cast<std::size_t>(std::min(kStep, documents_ - at)));
    read_labels(at, labels);
    progress(std::ssize(labels) * static_cast<std::int64_t>(sizeof(double)));
  }
}

}  // namespace trireme
