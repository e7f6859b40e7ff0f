// SPDX-License-Identifier: Apache-2.0
// Pipeline: encodes text.
#include "pipeline.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

#include "utf8.hpp"
#include "word_cache.hpp"

namespace trireme {

namespace {

constexpr std::size_t kIdsAtOnce = 4096;
constexpr std::size_t kWordsAtOnce = 256;
// A long text is encoded in pieces whose normal form stays in the processor's cache.
constexpr std::size_t kTextAtOnce = 1 << 16;

/// The bytes from `at` on that a decoder replaces by one U+FFFD: a sequence cut short, or one
/// byte.
std::size_t invalid_bytes(std::string_view text, std::size_t at) {
  static constexpr std::array<std::string_view, 3> kFillers = {
      std::string_view("\x80\x80\x80", 3), std::string_view("\xbf\xbf\xbf", 3),
      std::string_view("\x90\x80\x80", 3)};
  for (std::size_t n = 3; n > 1; --n) {
    if (at + n > text.size()) continue;
    for (const std::string_view filler : kFillers) {
      for (std::size_t more = 1; n + more <= 4; ++more) {
        const std::string whole =
            std::string(text.substr(at, n)) + std::string(filler.substr(0, more));
        if (valid_utf8_at(whole, 0) == n + more) return n;
      }
    }
  }
  return 1;
}

std::string with_replacements(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = valid_utf8_at(text, at);
    if (bytes > 0) {
      valid += text.substr(at, bytes);
      at += bytes;
    } else {
      append_utf8(valid, 0xfffd);
      at += invalid_bytes(text, at);
    }
  }
  return valid;
}

std::vector<TokenFinder::Needle> needles_of(const PipelineParts& parts, bool normalized) {
  std::vector<TokenFinder::Needle> needles;
  if (!parts.finds_added) return needles;
  for (const bool special : {true, false}) {  // the special one of equal texts counts
    for (const AddedToken& token : parts.added) {
      if (token.special != special || token.normalized != normalized) continue;
      std::string text = token.content;
      if (normalized && parts.normalizer) parts.normalizer->apply(text, {});
      TRM_REQUIRE(!text.empty(), "{}: the added token \"{}\" is nothing once it is normalised",
                  parts.where, printable(token.content));
      needles.push_back({std::move(text), token});
    }
  }
  return needles;
}

}  // namespace

/// What one thread needs while it encodes.
struct Pipeline::Workspace {
  WordCache cache;
  std::string text;    ///< valid in place of invalid
  std::string normal;  ///< a normalised section
  Pieces pieces;
  std::vector<Part> parts;
  std::vector<Part> inner_parts;
  std::vector<std::int32_t> word_ids;
  std::array<std::size_t, kWordsAtOnce> ends;
  std::array<WordCache::Key, kWordsAtOnce> keys;  ///< short words'
  std::array<std::uint32_t, kWordsAtOnce> slots;  ///< their slots in the cache
  std::array<std::int32_t, kIdsAtOnce + WordCache::kMostIds> ids;
  std::size_t count = 0;  ///< ids that wait in `ids`
  std::vector<std::int32_t>* to = nullptr;

  void flush() {
    to->insert(to->end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
    count = 0;
  }
  void append(std::span<const std::int32_t> more) {
    if (count + more.size() > kIdsAtOnce) flush();
    if (more.size() > kIdsAtOnce) {
      to->insert(to->end(), more.begin(), more.end());
      return;
    }
    std::copy(more.begin(), more.end(), ids.begin() + static_cast<std::ptrdiff_t>(count));
    count += more.size();
  }
};

/// A workspace taken from those idle, or a new one.
class Pipeline::Lease {
 public:
  explicit Lease(const Pipeline& pipeline) : pipeline_(pipeline) {
    {
      const std::lock_guard lock(pipeline.mutex_);
      if (!pipeline.idle_.empty()) {
        work_ = std::move(pipeline.idle_.back());
        pipeline.idle_.pop_back();
      }
    }
    if (work_ == nullptr) work_ = std::make_unique<Workspace>();
  }
  ~Lease() {
    const std::lock_guard lock(pipeline_.mutex_);
    pipeline_.idle_.push_back(std::move(work_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Workspace& operator*() const { return *work_; }
  Workspace* operator->() const { return work_.get(); }

 private:
  const Pipeline& pipeline_;
  std::unique_ptr<Workspace> work_;
};

Pipeline::Pipeline(PipelineParts parts)
    : parts_(std::move(parts)),
      raw_(needles_of(parts_, false)),
      normalized_(needles_of(parts_, true)) {
  TRM_CHECK(parts_.model != nullptr, "{}: a pipeline without a model", parts_.where);
  vocab_size_ = std::max(parts_.vocab_size, parts_.model->size());
  for (const AddedToken& token : parts_.added) {
    vocab_size_ = std::max<std::int64_t>(vocab_size_, token.id + 1);
  }
  added_by_id_.resize(static_cast<std::size_t>(vocab_size_));
  for (const AddedToken& token : parts_.added) {
    added_by_id_[static_cast<std::size_t>(token.id)] = &token;
  }
  TRM_REQUIRE(parts_.end_of_document >= 0 && parts_.end_of_document < vocab_size_,
              "{}: the id that ends a document, {}, is not in a vocabulary of {}", parts_.where,
              parts_.end_of_document, vocab_size_);
  keeps_bytes_ =
      parts_.model_takes_bytes && parts_.scanner != nullptr && parts_.normalizer == nullptr;
  splits_ = true;
  for (const TokenFinder* finder : {&raw_, &normalized_}) {
    for (const TokenFinder::Needle& needle : finder->needles()) {
      keeps_bytes_ &= !needle.token.lstrip && !needle.token.rstrip && !needle.token.single_word;
      has_lstrip_ |= needle.token.lstrip;
      has_rstrip_ |= needle.token.rstrip;
      splits_ &= !needle.token.single_word;
    }
  }
  constexpr char32_t kAscii = 128;
  for (char32_t pair = 0; splits_ && pair < kAscii * kAscii; ++pair) {
    ascii_separates_.push_back(separates(pair / kAscii, pair % kAscii));
  }
  // An added token must not stand across a place where text is split.
  for (const TokenFinder* finder : {&raw_, &normalized_}) {
    for (const TokenFinder::Needle& needle : finder->needles()) {
      std::size_t at = code_point_at(needle.text, 0).bytes;
      while (splits_ && at < needle.text.size()) {
        const CodePoint c = code_point_at(needle.text, at);
        splits_ = !separates(code_point_before(needle.text, at).value, c.value);
        at += c.bytes;
      }
    }
  }
}

Pipeline::~Pipeline() = default;

void Pipeline::encode_part(std::string_view text, TextPart part,
                           std::vector<std::int32_t>& to) const {
  const Lease work(*this);
  work->to = &to;
  work->count = 0;
  while (!text.empty()) {
    std::size_t end = text.size();
    if (!keeps_bytes_ && end > kTextAtOnce) end = split_point(text.substr(0, kTextAtOnce));
    if (end == 0) end = text.size();
    encode_at_once(text.substr(0, end), part, *work);
    text.remove_prefix(end);
    part = TextPart::later;
  }
  work->flush();
}

void Pipeline::encode_at_once(std::string_view text, TextPart part, Workspace& work) const {
  if (!keeps_bytes_ && !is_valid_utf8(text)) {
    work.text = with_replacements(text);
    text = work.text;
  }
  work.parts.clear();
  raw_.split(text, work.parts);
  for (const Part& outer : work.parts) {
    if (outer.id >= 0) {
      work.append({&outer.id, 1});
      continue;
    }
    std::string_view section = text.substr(outer.begin, outer.end - outer.begin);
    const bool starts = outer.begin == 0;
    Section place{.first = starts && part == TextPart::first,
                  .continued = starts && part == TextPart::later};
    if (parts_.normalizer != nullptr) {
      work.normal = section;
      parts_.normalizer->apply(work.normal, place);
      section = work.normal;
    }
    work.inner_parts.clear();
    normalized_.split(section, work.inner_parts);
    for (const Part& inner : work.inner_parts) {
      if (inner.id >= 0) {
        work.append({&inner.id, 1});
        continue;
      }
      const bool is_start = inner.begin == 0;
      encode_section(
          section.substr(inner.begin, inner.end - inner.begin),
          {.first = place.first && is_start, .continued = place.continued && is_start}, work);
    }
  }
}

void Pipeline::encode_section(std::string_view text, const Section& section,
                              Workspace& work) const {
  if (parts_.scanner != nullptr) {
    encode_words(text, work);
    return;
  }
  if (parts_.pre_tokenizer == nullptr) {
    encode_rare(text, true, work);
    return;
  }
  Pieces& pieces = work.pieces;
  pieces.text = text;
  pieces.ends.assign(1, text.size());
  pieces.section = section;
  parts_.pre_tokenizer->split(pieces);
  const std::span<const std::size_t> ends = pieces.ends;
  for (std::size_t i = 0; i < ends.size(); i += kWordsAtOnce) {
    const std::size_t n = std::min(kWordsAtOnce, ends.size() - i);
    encode_run(pieces.text, pieces.begin_of(i), ends.subspan(i, n), work);
  }
}

void Pipeline::encode_words(std::string_view text, Workspace& work) const {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t n = parts_.scanner->scan(text, begin, work.ends);
    encode_run(text, begin, std::span(work.ends).first(n), work);
    begin = work.ends[n - 1];
  }
}

/// Words that stand end to end, at most kWordsAtOnce. Memory of the cache is asked for before
/// the first word needs it.
void Pipeline::encode_run(std::string_view text, std::size_t begin,
                          std::span<const std::size_t> ends, Workspace& work) const {
  const char* const limit = text.data() + text.size();
  work.cache.make_room();
  std::size_t at = begin;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const std::size_t size = ends[i] - at;
    if (size <= WordCache::kShortWord) {
      work.keys[i] = WordCache::key_of(text.substr(at, size), limit);
      work.slots[i] = static_cast<std::uint32_t>(work.cache.slot_of(work.keys[i]));
      work.cache.prefetch(work.slots[i]);
    }
    at = ends[i];
  }
  at = begin;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const std::string_view word = text.substr(at, ends[i] - at);
    at = ends[i];
    const WordCache::Entry* const entry = word.size() <= WordCache::kShortWord
                                              ? work.cache.find(work.keys[i], work.slots[i])
                                              : nullptr;
    if (entry == nullptr || entry->count == 0) {
      encode_rare(word, entry != nullptr || word.size() > WordCache::kShortWord, work);
      continue;
    }
    // A copy of fixed size needs no loop.
    std::memcpy(work.ids.data() + work.count, entry->ids.data(), sizeof(entry->ids));
    work.count += entry->count;
    if (work.count >= kIdsAtOnce) work.flush();
  }
}

void Pipeline::encode_rare(std::string_view word, bool kept, Workspace& work) const {
  if (kept && word.size() <= WordCache::kLongestWord) {
    const auto ids = work.cache.find_long(word);
    if (!ids.empty()) {
      work.append(ids);
      return;
    }
  }
  work.word_ids.clear();
  parts_.model->encode(word, work.word_ids);
  work.cache.insert(word, work.word_ids);
  work.append(work.word_ids);
}

}  // namespace trireme
