// SPDX-License-Identifier: Apache-2.0
// Joins pieces into documents.
#include "trireme/data/document_joiner.hpp"

#include <algorithm>

#include "document_set.hpp"

namespace trireme {

namespace {

std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 33U)) * 0xff51afd7ed558ccdU;
  x = (x ^ (x >> 33U)) * 0xc4ceb9fe1a85ec53U;
  return x ^ (x >> 33U);
}

template <class T>
std::span<const T> part_of(const std::vector<T>& all, std::size_t begin, std::size_t end) {
  if (all.empty()) return {};
  return std::span(all).subspan(begin, end - begin);
}

}  // namespace

std::string_view words_of(Trouble trouble) {
  constexpr std::array<std::string_view, kTroubles> kWords{
      "not valid JSON",    "without the text's key",
      "not UTF-8",         "with half a surrogate pair",
      "too long",          "no such record",
      "files without text"};
  return kWords[static_cast<std::size_t>(trouble)];
}

DocumentJoiner::DocumentJoiner(const TextBlocks& blocks, DocumentSink& sink,
                               const JoinOptions& options)
    : blocks_(blocks),
      around_(blocks.surroundings()),
      sink_(sink),
      options_(options),
      files_(blocks.inputs().size()),
      documents_(std::make_unique<DocumentSet>()),
      hasher_(std::make_unique<TokenHasher>()) {}

DocumentJoiner::~DocumentJoiner() = default;

void DocumentJoiner::add(std::int64_t k, const TextPieces& pieces) {
  input_ = blocks_.place(k).input;
  note_faults(blocks_.inputs()[input_].path, pieces);
  const std::size_t group = blocks_.format().records == RecordKind::pairs ? 2 : 1;
  std::size_t at = 0;
  for (std::size_t i = 0; i < pieces.ends.size(); i += group) {
    const auto end = static_cast<std::size_t>(pieces.ends[i + group - 1].at);
    const bool whole = sink_.document_tokens() == 0 && current_.bytes == 0;
    if (!whole) {
      append(pieces, at, end);
      if (options_.dedup) hasher_->add(part_of(pieces.tokens, at, end));
      end_document(pieces.ends[i]);
    } else if (wanted(pieces, at, i, group)) {
      add_group(pieces, at, i, group);
    }
    at = end;
  }
  append(pieces, at, pieces.tokens.size());
  if (options_.dedup) hasher_->add(part_of(pieces.tokens, at, pieces.tokens.size()));
  current_.bytes += pieces.tail.bytes;
  current_.flags |= pieces.tail.flags;
  report_.blank_lines += pieces.blank_lines;
  lines_ += pieces.lines;
  file_bytes_ += pieces.text_bytes;
  file_hash_ += pieces.hash;
  File& file = files_[input_];
  file.separators += pieces.ends.size();
  file.has_crlf |= pieces.has_crlf;
  if (pieces.ends_file) end_file();
}

void DocumentJoiner::note_faults(const std::string& path, const TextPieces& pieces) {
  for (const Fault& fault : pieces.faults) {
    const std::string place =
        fault.line == 0 ? fmt::format("{}: {}", path, fault.what)
                        : fmt::format("{}, line {}: {}", path, lines_ + fault.line, fault.what);
    if (!options_.skip_faults) {
      throw Error(place + (fault.trouble == Trouble::file ? "" : options_.advice));
    }
    if (report_.places.size() < TextPieces::kMostFaults) report_.places.push_back(place);
  }
  for (std::size_t i = 0; i < kTroubles; ++i) report_.troubles[i] += pieces.troubles[i];
}

void DocumentJoiner::add_refused(const std::vector<Fault>& refused) {
  TextPieces pieces;
  for (const Fault& fault : refused) pieces.add_fault(fault);
  // `what` of these faults names the file.
  for (const Fault& fault : pieces.faults) {
    if (report_.places.size() < TextPieces::kMostFaults) report_.places.push_back(fault.what);
  }
  report_.troubles[static_cast<std::size_t>(Trouble::file)] += std::ssize(refused);
}

bool DocumentJoiner::wanted(const TextPieces& pieces, std::size_t begin, std::size_t first,
                            std::size_t group) {
  const DocumentEnd& last = pieces.ends[first + group - 1];
  const auto end = static_cast<std::size_t>(last.at);
  if ((last.flags & kBad) != 0) return false;  // counted with its fault
  auto fewest = last.at - static_cast<std::int64_t>(begin);
  std::size_t at = begin;
  for (std::size_t i = first; i < first + group; ++i) {
    fewest = std::min(fewest, pieces.ends[i].at - static_cast<std::int64_t>(at));
    at = static_cast<std::size_t>(pieces.ends[i].at);
  }
  return accept(fewest, [&] { return hash_of(part_of(pieces.tokens, begin, end)); });
}

template <class F>
bool DocumentJoiner::accept(std::int64_t tokens, F&& hash) {
  if (tokens == 0) {
    ++report_.empty;
  } else if (tokens < options_.min_tokens) {
    ++report_.few;
  } else if (options_.dedup && !documents_->add(hash())) {
    ++report_.equal;
  } else {
    return true;
  }
  return false;
}

void DocumentJoiner::add_group(const TextPieces& pieces, std::size_t begin, std::size_t first,
                               std::size_t group) {
  for (std::size_t i = first; i < first + group; ++i) {
    const DocumentEnd& end = pieces.ends[i];
    append(pieces, begin, static_cast<std::size_t>(end.at));
    begin = static_cast<std::size_t>(end.at);
    current_.bytes += end.bytes;
    keep(end.flags, label_of(pieces, end));
  }
}

void DocumentJoiner::append(const TextPieces& pieces, std::size_t begin, std::size_t end) {
  if (begin == end) return;
  const auto tokens = part_of(pieces.tokens, begin, end);
  const auto mask = part_of(pieces.mask, begin, end);
  if (sink_.document_tokens() == 0) {
    const std::vector<std::uint8_t> zeros(mask.empty() ? 0 : around_.before.size());
    sink_.append(around_.before, zeros);
  }
  sink_.append(tokens, mask);
  targets_ += mask.empty() ? std::ssize(tokens) : std::ranges::count(mask, std::uint8_t{1});
}

void DocumentJoiner::end_document(const DocumentEnd& end) {
  current_.bytes += end.bytes;
  const auto flags = static_cast<std::uint8_t>(current_.flags | end.flags);
  const bool good =
      (flags & kBad) == 0 && accept(own_tokens(), [&] { return hasher_->finish(); });
  if (good) return keep(flags, 0);
  sink_.drop_document();
  forget();
}

std::int64_t DocumentJoiner::own_tokens() const {
  return std::max<std::int64_t>(sink_.document_tokens() - std::ssize(around_.before), 0);
}

void DocumentJoiner::keep(std::uint8_t flags, double label) {
  const std::int64_t tokens = own_tokens();
  sink_.append(around_.after);
  if (tokens > report_.longest) {
    report_.longest = tokens;
    report_.longest_file = blocks_.inputs()[input_].path;
  }
  ++report_.documents;
  report_.tokens += tokens;
  report_.targets += targets_;
  report_.text_bytes += current_.bytes;
  if ((flags & kHasNul) != 0) ++report_.nul_documents;
  sink_.end_document((flags & kEndCounts) != 0, label);
  forget();
}

void DocumentJoiner::forget() {
  current_ = {};
  targets_ = 0;
  hasher_->reset();
}

double DocumentJoiner::label_of(const TextPieces& pieces, const DocumentEnd& end) {
  if (blocks_.format().records != RecordKind::labelled) return 0;
  const bool word = (end.flags & kWordLabel) != 0;
  has_numbers_ |= !word;
  const std::string name = word ? pieces.labels[static_cast<std::size_t>(end.label)] : "";
  TRM_REQUIRE(!has_numbers_ || (!word && label_names_.empty()),
              "{}: some labels \"{}\" are numbers and others words; make all of them one kind",
              blocks_.inputs()[input_].path, blocks_.format().label_key);
  if (!word) return end.label;
  const auto [entry, is_new] = label_numbers_.try_emplace(name, label_names_.size());
  if (is_new) label_names_.push_back(name);
  return static_cast<double>(entry->second);
}

void DocumentJoiner::end_file() {
  // The text after the last separator is a document unless it is empty.
  if (current_.bytes > 0 || sink_.document_tokens() > 0) end_document({});
  forget();
  const auto bytes = static_cast<std::uint64_t>(file_bytes_);
  hash_ = scramble(hash_ * 0x9e3779b97f4a7c15U + scramble(file_hash_ + scramble(bytes)));
  file_hash_ = 0;
  file_bytes_ = 0;
  lines_ = 0;
  if (files_[input_].has_crlf) ++report_.crlf_files;
}

std::string DocumentJoiner::check_separator() const {
  const TextFormat& format = blocks_.format();
  if (format.separator.empty()) return {};
  const bool of_lines = format.separator.find('\n') != std::string::npos &&
                        format.separator.find('\r') == std::string::npos;
  std::vector<std::string> without;
  std::size_t plain = 0;
  const char* advice = "leave --document-separator out if each file is one document";
  for (std::size_t i = 0; i < files_.size(); ++i) {
    const TextInput& input = blocks_.inputs()[i];
    if (input.jsonl || (input.bytes == 0 && !input.is_stream())) continue;
    ++plain;
    if (files_[i].separators > 0) continue;
    TRM_REQUIRE(!of_lines || !files_[i].has_crlf,
                "{}: the document separator stands nowhere in it, and its lines end in \\r\\n. "
                "Convert it (sed 's/\\r$//'), or write \\r\\n for each \\n of the separator",
                input.path);
    without.push_back(input.path);
  }
  if (plain == 0) {
    return "--document-separator has no effect, as every input holds JSON lines";
  }
  if (without.empty()) return {};
  TRM_REQUIRE(without.size() < plain,
              "the document separator stands nowhere in the input ({}{}); {}", without.front(),
              plain > 1 ? fmt::format(" and {} more", plain - 1) : "", advice);
  return fmt::format(
      "the document separator stands in {} of {} files of plain text; {}{} {} document{}",
      plain - without.size(), plain, without.front(),
      without.size() > 1 ? fmt::format(" and {} more", without.size() - 1) : "",
      without.size() > 1 ? "are one" : "is one", without.size() > 1 ? " each" : "");
}

std::string DocumentJoiner::source_hash() const { return fmt::format("{:016x}", hash_); }

}  // namespace trireme
