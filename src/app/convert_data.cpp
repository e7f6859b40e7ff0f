// SPDX-License-Identifier: Apache-2.0
// Copies documents from one format to another.
#include "convert_data.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <limits>

#include "trireme/core/clock.hpp"
#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/data/megatron_file.hpp"
#include "trireme/data/token_file.hpp"
#include "trireme/host/progress.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kPart = 1 << 18;  // tokens read at once

/// Says of the tokenizer what the source says. Data are copied, and never encoded by it.
class SourcesTokenizer final : public ByteTokenizer {
 public:
  explicit SourcesTokenizer(const TokenSource& source) : source_(source) {}
  [[nodiscard]] std::string kind() const override {
    return source_.tokenizer_kind().empty() ? "unknown" : source_.tokenizer_kind();
  }
  [[nodiscard]] std::string definition() const override {
    return source_.tokenizer_definition();
  }
  [[nodiscard]] std::int64_t vocab_size() const override { return source_.vocab_size(); }
  [[nodiscard]] std::int32_t end_of_document() const override {
    return source_.end_of_document();
  }

 private:
  const TokenSource& source_;
};

/// Reads a source in order, by documents.
class DocumentReader {
 public:
  explicit DocumentReader(const TokenSource& source)
      : source_(source),
        progress_("converted", "MB", megabytes(source.tokens() * source.token_bytes())) {}

  /// Calls append() with the parts of each document, then end() with its number.
  void each(const std::function<void(std::span<const std::int32_t>)>& append,
            const std::function<void(std::int64_t)>& end) {
    std::vector<std::int32_t> part;
    std::int64_t begin = 0;
    for (std::int64_t d = 0; d < source_.documents(); ++d) {
      const std::int64_t stop = source_.document_start(d + 1);
      while (begin < stop) {
        part.resize(static_cast<std::size_t>(std::min(kPart, stop - begin)));
        source_.read(begin, part);
        append(part);
        begin += std::ssize(part);
      }
      end(d);
      progress_.update(megabytes(begin * source_.token_bytes()));
    }
  }

 private:
  const TokenSource& source_;
  Progress progress_;
};

struct Converted {
  std::int64_t documents = 0;
  std::int64_t dropped = 0;
};

Converted to_token_file(const TokenSource& source, const ConvertDataOptions& options) {
  TRM_REQUIRE(source.vocab_size() > 0 && source.end_of_document() >= 0,
              "{}: {} say neither the vocabulary's size nor which id ends documents; name "
              "them with --vocab-size and --end-of-document",
              source.path(), source.format());
  const SourcesTokenizer tokenizer(source);
  TokenFileWriter writer(options.to, tokenizer);
  const std::int32_t end = source.end_of_document();
  bool ended = false;
  DocumentReader(source).each(
      [&](std::span<const std::int32_t> tokens) {
        if (ended) writer.append({&end, 1});  // within a document after all
        ended = tokens.back() == end;
        writer.append(ended ? tokens.first(tokens.size() - 1) : tokens);
      },
      [&](std::int64_t d) {
        TRM_REQUIRE(ended || options.append_eod ||
                        source.document_start(d) == source.document_start(d + 1),
                    "{}: document {} does not end with the id {}, as those of a token file do; "
                    "--append-eod adds the id",
                    source.path(), d, end);
        ended = false;
        writer.end_document();
      });
  writer.finish(source.source_hash());
  return {writer.documents(), writer.dropped()};
}

/// The code of a type's name, or Megatron's choice.
std::uint8_t code_of(const TokenSource& source, const std::string& type) {
  struct Named {
    std::string_view name;
    std::uint8_t code;
  };
  constexpr std::array<Named, 6> kTypes{
      {{"uint8", 1}, {"int8", 2}, {"int16", 3}, {"int32", 4}, {"int64", 5}, {"uint16", 8}}};
  constexpr std::int64_t kNarrow = 65500;  // Megatron's limit
  if (type.empty()) return source.vocab_size() > 0 && source.vocab_size() < kNarrow ? 8 : 4;
  const auto* const found = std::ranges::find(kTypes, type, &Named::name);
  TRM_REQUIRE(found != kTypes.end(),
              "--type {}: the types of tokens are uint8, int8, int16, int32, int64, uint16",
              type);
  return found->code;
}

Converted to_megatron(const TokenSource& source, const std::string& prefix,
                      const ConvertDataOptions& options) {
  TRM_REQUIRE(!source.has_loss_mask(),
              "{}: the file has a loss mask, which PREFIX.bin can't hold", source.path());
  MegatronWriter writer(prefix, code_of(source, options.type));
  DocumentReader(source).each(
      [&](std::span<const std::int32_t> tokens) { writer.append(tokens); },
      [&](std::int64_t) { writer.end_document(); });
  writer.finish();
  return {source.documents(), 0};
}

void require_free(const std::string& path, bool overwrite) {
  std::error_code code;
  TRM_REQUIRE(overwrite || !std::filesystem::exists(path, code),
              "{}: there is a file already; --overwrite replaces it", path);
}

}  // namespace

void convert_data(const ConvertDataOptions& options) {
  const double begin = now();
  TRM_REQUIRE(options.end_of_document <= std::numeric_limits<std::int32_t>::max(),
              "--end-of-document {}: ids are below 2³¹", options.end_of_document);
  const TokenFacts given{options.vocab_size,
                         static_cast<std::int32_t>(options.end_of_document)};
  const auto source = open_tokens(options.from, DocumentCheck::all, given);
  if (const auto* indexed = dynamic_cast<const MegatronFile*>(source.get())) {
    TRM_REQUIRE(indexed->plain_documents(),
                "{}.idx: documents of several sequences, which a token file can't hold",
                indexed->path());
  }
  const bool to_file = options.to.ends_with(".h5") || options.to.ends_with(".hdf5");
  Converted done;
  std::string written = options.to;
  if (to_file) {
    require_free(options.to, options.overwrite);
    done = to_token_file(*source, options);
  } else {
    std::string prefix = options.to;
    if (prefix.ends_with(".bin") || prefix.ends_with(".idx")) prefix.resize(prefix.size() - 4);
    require_free(prefix + ".bin", options.overwrite);
    require_free(prefix + ".idx", options.overwrite);
    done = to_megatron(*source, prefix, options);
    written = prefix + ".bin and .idx";
  }
  const double seconds = std::max(now() - begin, 1e-9);
  const double size = megabytes(source->tokens() * source->token_bytes());
  log::info("{}: {} tokens in {} documents from {}, {:.1f} MB/s", written,
            grouped(source->tokens()), grouped(done.documents), source->format(),
            size / seconds);
  if (done.dropped > 0) {
    log::info("{} documents without a token were left out", done.dropped);
  }
}

}  // namespace trireme
