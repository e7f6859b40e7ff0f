// SPDX-License-Identifier: Apache-2.0
// Text files as a source of tokens, in memory.
#include <algorithm>
#include <numeric>

#include "trireme/core/log.hpp"
#include "trireme/data/document_joiner.hpp"
#include "trireme/data/text_pool.hpp"
#include "trireme/tasks/text_loss.hpp"

namespace trireme::tasks {

namespace {

class TextTokens : public TokenSource, public DocumentSink {
 public:
  TextTokens(std::string path, const Tokenizer& tokenizer)
      : path_(std::move(path)),
        kind_(tokenizer.kind()),
        definition_(tokenizer.definition()),
        vocab_size_(tokenizer.vocab_size()),
        end_(tokenizer.end_of_document()) {}

  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] std::string format() const override { return "text"; }
  [[nodiscard]] std::int64_t tokens() const override { return starts_.back(); }
  [[nodiscard]] std::int64_t documents() const override { return std::ssize(starts_) - 1; }
  [[nodiscard]] std::int64_t token_bytes() const override { return 4; }
  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }
  [[nodiscard]] std::int32_t end_of_document() const override { return end_; }
  [[nodiscard]] const std::string& tokenizer_kind() const override { return kind_; }
  [[nodiscard]] const std::string& tokenizer_definition() const override { return definition_; }
  [[nodiscard]] const std::string& source_hash() const override { return hash_; }
  [[nodiscard]] std::int64_t document_start(std::int64_t i) const override {
    return starts_.at(static_cast<std::size_t>(i));
  }
  void read(std::int64_t offset, std::span<std::int32_t> to) const override {
    std::ranges::copy(std::span(tokens_).subspan(static_cast<std::size_t>(offset), to.size()),
                      to.begin());
  }
  void verify(const std::function<void(std::int64_t bytes)>& /*progress*/) const override {}

  void append(std::span<const std::int32_t> tokens,
              std::span<const std::uint8_t> /*mask*/) override {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }
  void end_document(bool /*end_counts*/, double /*label*/) override {
    if (document_tokens() == 0) return;
    tokens_.push_back(end_);
    starts_.push_back(std::ssize(tokens_));
  }
  void drop_document() override { tokens_.resize(static_cast<std::size_t>(starts_.back())); }
  [[nodiscard]] std::int64_t document_tokens() const override {
    return std::ssize(tokens_) - starts_.back();
  }

 private:
  std::string path_;
  std::string kind_;
  std::string definition_;
  std::string hash_;
  std::int64_t vocab_size_;
  std::int32_t end_;
  std::vector<std::int32_t> tokens_;
  std::vector<std::int64_t> starts_{0};
};

}  // namespace

std::unique_ptr<TokenSource> read_text(const std::vector<std::string>& paths,
                                       const TextFormat& format, const Tokenizer& tokenizer,
                                       int threads) {
  const TextBlocks blocks(find_inputs(paths, format), format, tokenizer);
  auto tokens = std::make_unique<TextTokens>(paths.front(), tokenizer);
  DocumentJoiner joiner(blocks, *tokens, {.advice = ""});
  std::vector<std::int64_t> units(static_cast<std::size_t>(blocks.count()));
  std::iota(units.begin(), units.end(), std::int64_t{0});
  TextPool pool(blocks, units, {.threads = threads});
  while (const auto delivery = pool.next()) joiner.add(delivery->unit, delivery->pieces);
  const std::string warning = joiner.check_separator();
  if (!warning.empty()) log::warn("{}", warning);
  TRM_REQUIRE(tokens->tokens() > 0, "{}: there is no text", paths.front());
  return tokens;
}

}  // namespace trireme::tasks
