// SPDX-License-Identifier: Apache-2.0
// Slides windows over tokens, and sums what the model says of them.
#include "trireme/tasks/text_loss.hpp"

#include <cmath>
#include <numbers>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/tokenizer/text_bytes.hpp"

#include "requests.hpp"
#include "windows.hpp"

namespace trireme::tasks {

namespace {

/// Windows that wait to be scored, in batches: those of like length can then go together.
constexpr std::size_t kBatches = 16;

/// Tokens [begin, end) of a source, behind one token that isn't there.
class Sequence {
 public:
  Sequence(const TokenSource& source, std::int64_t begin, std::int64_t end,
           std::optional<std::int32_t> lead)
      : source_(source), begin_(begin), tokens_(end - begin) {
    if (!lead || tokens_ == 0) return;
    std::int32_t first = 0;
    source.read(begin, {&first, 1});
    if (first == *lead) return;
    lead_ = lead;
    --begin_;
    ++tokens_;
  }

  [[nodiscard]] std::int64_t tokens() const { return tokens_; }  ///< the lead included

  [[nodiscard]] Request request(const Window& window) const {
    Request request;
    request.tokens.resize(static_cast<std::size_t>(window.end - window.begin));
    request.scored = static_cast<std::size_t>(window.end - window.scored);
    std::span<std::int32_t> rest = request.tokens;
    std::int64_t at = begin_ + window.begin;
    if (lead_ && window.begin == 0) {
      rest.front() = *lead_;
      rest = rest.subspan(1);
      ++at;
    }
    source_.read(at, rest);
    return request;
  }

  /// 1 for each scored token of the window that counts.
  [[nodiscard]] std::vector<std::uint8_t> mask(const Window& window) const {
    if (!source_.has_loss_mask()) return {};
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(window.end - window.scored));
    source_.read_loss_mask(begin_ + window.scored, mask);
    return mask;
  }

 private:
  const TokenSource& source_;
  std::int64_t begin_;
  std::int64_t tokens_;
  std::optional<std::int32_t> lead_;
};

class Meter {
 public:
  Meter(const TokenSource& source, const Tokenizer* tokenizer, Scorer& scorer,
        const LossOptions& options)
      : source_(source), scorer_(scorer), options_(options) {
    if (tokenizer != nullptr) {
      bytes_ = text_bytes(*tokenizer);
      lead_ = prefix_of(*tokenizer).front();
    } else if (source.end_of_document() >= 0) {
      lead_ = source.end_of_document();
    }
    length_ = options.length > 0 ? options.length : scorer.length();
    stride_ = options.stride > 0 ? options.stride : length_;
    TRM_REQUIRE(length_ <= scorer.length(),
                "--length {}: the model reads at most {} tokens at once", length_,
                scorer.length());
    TRM_REQUIRE(
        stride_ <= length_,
        "--stride {}: a window reads {} tokens, and a larger step would leave tokens out",
        stride_, length_);
    documents_ = source.documents();
    if (options.limit > 0) documents_ = std::min(documents_, options.limit);
    total_ = source.document_start(documents_) - source.document_start(0);
  }

  TextLoss run() {
    if (options_.by_document) {
      for (std::int64_t d = 0; d < documents_; ++d) {
        add(d, source_.document_start(d), end_of(d));
      }
    } else {
      add(0, source_.document_start(0), source_.document_start(documents_));
    }
    score();
    end_document();
    TRM_REQUIRE(sum_.tokens > 0, "{}: there is no token whose loss counts",
                printable(source_.path()));
    return sum_;
  }

 private:
  struct Waiting {
    std::int64_t document;
    std::vector<std::uint8_t> mask;
  };

  /// The end of a document, before its end-of-document token if that doesn't count.
  [[nodiscard]] std::int64_t end_of(std::int64_t document) const {
    const std::int64_t end = source_.document_start(document + 1);
    if (!options_.skip_ends || end == source_.document_start(document)) return end;
    std::int32_t last = 0;
    source_.read(end - 1, {&last, 1});
    return last == source_.end_of_document() ? end - 1 : end;
  }

  void add(std::int64_t document, std::int64_t begin, std::int64_t end) {
    const Sequence sequence(source_, begin, end, lead_);
    Windows windows(sequence.tokens(), length_, stride_);
    for (Window window; windows.next(window);) {
      requests_.push_back(sequence.request(window));
      require_vocabulary(source_.path(), begin, requests_.back().tokens, scorer_.vocab_size());
      waiting_.push_back({document, sequence.mask(window)});
      if (requests_.size() == kBatches * scorer_.batch()) score();
    }
  }

  /// Scores the waiting windows, and adds them in their order.
  void score() {
    std::vector<TextLoss> found(requests_.size());
    score_each(
        scorer_, requests_,
        [&](std::size_t i, const TokenScores& scores) { found[i] = sum_of(i, scores); },
        [&](std::size_t) {});
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (waiting_[i].document != document_) end_document();
      document_ = waiting_[i].document;
      add_to(own_, found[i]);
      done_ += static_cast<std::int64_t>(requests_[i].scored);
    }
    requests_.clear();
    waiting_.clear();
    if (options_.on_progress) options_.on_progress(done_, total_);
  }

  [[nodiscard]] TextLoss sum_of(std::size_t i, const TokenScores& scores) const {
    const Request& request = requests_[i];
    const std::vector<std::uint8_t>& mask = waiting_[i].mask;
    TextLoss loss;
    for (std::size_t k = 0; k < request.scored; ++k) {
      if (!mask.empty() && mask[k] == 0) continue;
      const std::size_t at = request.tokens.size() - request.scored + k;
      if (options_.skip_ends && request.tokens[at] == source_.end_of_document()) continue;
      ++loss.tokens;
      loss.nats -= scores.log_probabilities[at - 1];
      const auto id = static_cast<std::size_t>(request.tokens[at]);
      if (id < bytes_.size()) loss.bytes += bytes_[id];
    }
    return loss;
  }

  static void add_to(TextLoss& sum, const TextLoss& part) {
    sum.tokens += part.tokens;
    sum.bytes += part.bytes;
    sum.nats += part.nats;
  }

  void end_document() {
    if (options_.by_document && options_.on_document && own_.tokens > 0) {
      options_.on_document(document_, own_);
    }
    add_to(sum_, own_);
    own_ = {};
  }

  const TokenSource& source_;
  Scorer& scorer_;
  const LossOptions& options_;
  std::vector<std::uint16_t> bytes_;
  std::optional<std::int32_t> lead_;
  std::int64_t length_ = 0;
  std::int64_t stride_ = 0;
  std::int64_t documents_ = 0;
  std::int64_t total_ = 0;
  std::int64_t done_ = 0;
  std::vector<Request> requests_;
  std::vector<Waiting> waiting_;  ///< one for each of requests_
  std::int64_t document_ = 0;
  TextLoss own_;  ///< the current document's
  TextLoss sum_;
};

}  // namespace

double TextLoss::perplexity() const { return std::exp(loss()); }

std::optional<double> TextLoss::bits_per_byte() const {
  if (bytes == 0) return std::nullopt;
  return nats / std::numbers::ln2 / static_cast<double>(bytes);
}

TextLoss measure_loss(const TokenSource& source, const Tokenizer* tokenizer, Scorer& scorer,
                      const LossOptions& options) {
  return Meter(source, tokenizer, scorer, options).run();
}

}  // namespace trireme::tasks
