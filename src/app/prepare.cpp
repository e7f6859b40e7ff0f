// SPDX-License-Identifier: Apache-2.0
// `trireme prepare`: all ranks read and encode, and rank 0 joins and writes.
#include "prepare.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <numeric>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/data/chat_template.hpp"
#include "trireme/data/image_writer.hpp"
#include "trireme/data/shuffled_documents.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/record/owner_lock.hpp"

#include "prepare_ranks.hpp"
#include "run_files.hpp"

namespace trireme {

namespace {

bool is_wide(const Tokenizer& tokenizer) { return tokenizer.vocab_size() > 1 << 16; }

/// The parts of a text between commas.
std::vector<std::string> between_commas(std::string_view text) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    TRM_REQUIRE(!part.empty(), "--json-keys: a key is empty");
    parts.emplace_back(part);
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

/// Rank 0 reads the files: all ranks then have its tokenizer, whatever their nodes hold.
std::unique_ptr<Tokenizer> shared_tokenizer(const TokenizerSource& source,
                                            Communicator& world) {
  std::unique_ptr<Tokenizer> tokenizer;
  collectively(world, [&] {
    if (world.rank() == 0) tokenizer = open_tokenizer(source);
  });
  const bool is_first = world.rank() == 0;
  const std::string kind = world.broadcast_text(is_first ? tokenizer->kind() : "", 0);
  const std::string definition =
      world.broadcast_text(is_first ? tokenizer->definition() : "", 0);
  collectively(world, [&] {
    if (!is_first) tokenizer = make_tokenizer(kind, definition);
  });
  return tokenizer;
}

/// Objects that only rank 0 has.
struct Output {
  Output(std::unique_ptr<OwnerLock> owner, const PrepareOptions& options,
         const TextBlocks& blocks, const Tokenizer& tokenizer)
      : lock(std::move(owner)),
        writer(options.output, tokenizer, file_format_of(options, blocks.format())),
        shuffled(options.shuffle ? make_shuffled(options, blocks, tokenizer) : nullptr),
        joiner(blocks, shuffled != nullptr ? static_cast<DocumentSink&>(*shuffled) : writer,
               {.skip_faults = options.on_error == "skip",
                .min_tokens = options.min_tokens,
                .dedup = options.dedup == "exact"}),
        progress("preparing " + printable(options.output), "MB", total_of(blocks)) {}

  void add(std::int64_t unit, const TextPieces& pieces) {
    joiner.add(unit, pieces);
    bytes += pieces.input_bytes;
    progress.update(megabytes(bytes));
  }

  static TokenFileFormat file_format_of(const PrepareOptions& options,
                                        const TextFormat& format) {
    const bool mask = format.records == RecordKind::pairs ||
                      (format.records == RecordKind::chat && format.train_on != TrainOn::all);
    const char* kind = format.records == RecordKind::pairs      ? "pairs"
                       : format.records == RecordKind::labelled ? "labelled"
                       : mask                                   ? "chat"
                                                                : "text";
    return {.kind = kind, .loss_mask = mask, .append_end = options.append_eod};
  }
  static std::unique_ptr<ShuffledDocuments> make_shuffled(const PrepareOptions& options,
                                                          const TextBlocks& blocks,
                                                          const Tokenizer& tokenizer) {
    return std::make_unique<ShuffledDocuments>(
        ShuffleOptions{.folder = folder_of(options.output),
                       .seed = options.seed,
                       .group = blocks.format().records == RecordKind::pairs ? 2 : 1,
                       .wide = is_wide(tokenizer)});
  }
  /// Megabytes of all files; 0 if standard input, whose size is unknown, is one.
  static double total_of(const TextBlocks& blocks) {
    const bool unknown =
        std::ranges::find(blocks.inputs(), "-", &TextInput::path) != blocks.inputs().end();
    return unknown ? 0 : megabytes(blocks.bytes());
  }

  std::unique_ptr<OwnerLock> lock;  ///< before the writer: its file goes first
  TokenFileWriter writer;
  std::unique_ptr<ShuffledDocuments> shuffled;  ///< documents on their way to the writer
  DocumentJoiner joiner;
  Progress progress;
  std::int64_t bytes = 0;
};

/// Marks that are no tokens are still written, as several tokens.
void warn_of_missing_marks(const PrepareOptions& options, const TextFormat& format,
                           const Tokenizer& tokenizer) {
  if (format.chat == nullptr) return;
  const std::vector<std::string> missing = missing_marks(*format.chat, tokenizer);
  if (missing.empty()) return;
  log::warn("the tokenizer has no token {}: what the chat template {} writes there is text",
            fmt::join(missing, ", "), options.chat_template);
}

/// Neither the output nor the report may replace the input, or the report the output.
void require_other_file(const PrepareOptions& options, const std::vector<TextInput>& inputs) {
  std::error_code ignored;  // the files may not exist yet
  for (const TextInput& input : inputs) {
    TRM_REQUIRE(!std::filesystem::equivalent(input.path, options.output, ignored),
                "{}: this file is both input and output", input.path);
    TRM_REQUIRE(!std::filesystem::equivalent(input.path, options.json, ignored),
                "{}: this file is both --input and --json", input.path);
  }
  const auto place = [](const std::string& path) {
    std::error_code code;
    return std::filesystem::weakly_canonical(std::filesystem::absolute(path, code), code);
  };
  TRM_REQUIRE(options.json.empty() || place(options.json) != place(options.output),
              "{}: this file is both --output and --json", options.json);
}

bool is_taken(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

/// A report that can't be written is an error before the work, not after it.
void require_report(const PrepareOptions& options) {
  if (options.json.empty()) return;
  const bool is_new = !is_taken(options.json);
  TRM_REQUIRE_SYSTEM(std::ofstream(options.json, std::ios::app).good(), errno,
                     "{}: cannot write this file (--json)", options.json);
  std::error_code ignored;  // an empty file would do no harm
  if (is_new) std::filesystem::remove(options.json, ignored);
}

/// Throws Error that says why if no document is left.
void require_documents(const JoinReport& report, const std::string& output) {
  const std::string reasons = left_out_words(report);
  if (report.documents > 0 || reasons.empty()) return;
  throw Error(fmt::format("{}: nothing to write: all documents are left out ({}){}", output,
                          reasons, report.places.empty() ? "" : ". " + report.places.front()));
}

/// Throws Error if the output's name is not free, or may not be made free.
void require_free(const PrepareOptions& options) {
  const std::string kind = other_kind(options.output);
  TRM_REQUIRE(kind.empty(), "{}: cannot write: it is {}", options.output, kind);
  TRM_REQUIRE(
      options.overwrite || !is_taken(options.output),
      "{}: this file exists. Name another --output, or set --overwrite, which moves the "
      "file to {}.before-DATE",
      options.output, options.output);
}

/// Makes the output's folder, and takes the output for this process.
std::unique_ptr<OwnerLock> claim_output(const PrepareOptions& options,
                                        const std::vector<TextInput>& inputs) {
  require_other_file(options, inputs);
  const std::string folder = folder_of(options.output);
  const int reason = make_folder_of(options.output);
  TRM_REQUIRE_SYSTEM(reason == 0, reason, "{}: cannot make its folder {}", options.output,
                     folder);
  require_free(options);
  require_report(options);
  auto lock = std::make_unique<OwnerLock>(options.output + ".lock",
                                          fmt::format("output: {}", options.output));
  require_free(options);
  remove_temporary_files(folder, {std::filesystem::path(options.output).filename().string()});
  return lock;
}

/// Completes the output by `write`. What had its name is moved aside, and back if that fails.
void finish(OwnerLock& lock, const PrepareOptions& options,
            const std::function<void()>& write) {
  lock.require();
  require_free(options);
  std::string aside;
  if (is_taken(options.output)) {
    aside = name_aside(options.output);
    rename_path(options.output, aside);
  }
  try {
    write();
  } catch (const Error&) {
    if (!aside.empty() && !is_taken(options.output)) rename_path(aside, options.output);
    throw;
  }
  if (!aside.empty()) log::info("{}: the file that had this name is {}", options.output, aside);
}

}  // namespace

TextFormat text_format_of(const PrepareOptions& options) {
  TextFormat format;
  const bool records = !options.chat_template.empty() || options.pairs ||
                       !options.label_key.empty() || !options.json_keys.empty();
  TRM_REQUIRE(
      options.format != "text" || !records,
      "--format text contradicts --json-keys, --chat-template, --pairs and --label-key; "
      "leave one of them out");
  TRM_REQUIRE(!options.document_per_file ||
                  (!records && options.separator.empty() && options.format != "jsonl"),
              "--document-per-file contradicts --document-separator and all options of JSON "
              "lines; leave one of them out");
  TRM_REQUIRE(options.label_key.empty() || (!options.pairs && options.chat_template.empty()),
              "--label-key contradicts --pairs and --chat-template; leave one of them out");
  TRM_REQUIRE(
      options.json_keys.empty() || (!options.pairs && options.chat_template.empty()),
      "--json-keys contradicts --pairs and --chat-template, whose keys are fixed; leave "
      "one of them out");
  TRM_REQUIRE(
      !options.pairs || options.train_on == "assistant",
      "--train-on contradicts --pairs, of which the answers count; leave one of them out");
  TRM_REQUIRE(options.min_tokens >= 0, "--min-tokens {}: it must be 0 or more",
              options.min_tokens);
  format.all_jsonl = records || options.format == "jsonl";
  if (!options.json_keys.empty()) format.keys = between_commas(options.json_keys);
  format.as_it_is = options.format == "text";
  format.whole_files = options.document_per_file;
  format.separator = options.separator;
  format.label_key = options.label_key;
  if (!options.chat_template.empty()) format.chat = &chat_template(options.chat_template);
  format.records = options.pairs                    ? RecordKind::pairs
                   : !options.label_key.empty()     ? RecordKind::labelled
                   : !options.chat_template.empty() ? RecordKind::chat
                                                    : RecordKind::text;
  format.train_on = options.train_on == "all"    ? TrainOn::all
                    : options.train_on == "last" ? TrainOn::last
                                                 : TrainOn::assistant;
  return format;
}

PrepareSummary prepare(const PrepareOptions& options, Communicator& world) {
  const double started = now();
  const TextFormat format = text_format_of(options);
  const auto tokenizer = shared_tokenizer(options.tokenizer, world);
  std::vector<TextInput> inputs;
  std::vector<Fault> refused;
  collectively(world, [&] {
    if (world.rank() != 0) return;
    const bool skip = options.on_error == "skip";
    inputs = find_inputs(options.inputs, format, skip ? &refused : nullptr);
  });
  const TextBlocks blocks(share_inputs(inputs, world), format, *tokenizer, options.block_bytes);
  std::optional<Output> output;
  collectively(world, [&] {
    if (world.rank() != 0) return;
    output.emplace(claim_output(options, inputs), options, blocks, *tokenizer);
    output->joiner.add_refused(refused);
    warn_of_missing_marks(options, format, *tokenizer);
  });
  const PoolOptions pool{.threads = options.threads,
                         .memory = options.memory,
                         .folder = folder_of(options.output),
                         .wide = is_wide(*tokenizer)};
  gather_pieces(
      blocks, pool,
      [&](std::int64_t unit, const TextPieces& pieces) { output->add(unit, pieces); }, world);
  // Launchers end standard input when a rank dies. All ranks live here, so that the end that
  // rank 0 met was the input's own.
  world.barrier();

  PrepareSummary summary;
  collectively(world, [&] {
    if (!output) return;
    summary.warning = output->joiner.check_separator();
    require_documents(output->joiner.report(), options.output);
    finish(*output->lock, options, [&] {
      if (output->shuffled != nullptr) output->shuffled->give(output->writer);
      output->writer.finish(output->joiner.source_hash(), output->joiner.label_names());
    });
    summary.bytes = output->bytes;
    summary.tokens = output->writer.tokens();
    summary.documents = output->writer.documents();
    summary.report = output->joiner.report();
    const JoinReport& report = summary.report;
    summary.dropped =
        report.empty + report.few + report.equal +
        std::accumulate(report.troubles.begin(), report.troubles.end(), std::int64_t{0});
    summary.has_mask = output->writer.format().loss_mask;
    summary.seconds = now() - started;
  });
  return summary;
}

void prepare_images(const PrepareOptions& options, Communicator& world) {
  collectively(world, [&] {
    if (world.rank() != 0) return;
    TRM_REQUIRE(options.label_key.empty() && options.json.empty() && !options.pairs &&
                    options.chat_template.empty(),
                "--images takes --output, --overwrite, --shuffle and --seed alone");
    const double started = now();
    std::vector<TextInput> inputs;
    for (const std::string& path : options.images) inputs.push_back({.path = path});
    const auto lock = claim_output(options, inputs);
    const LabelledImages images = read_labelled_images(options.images);
    const bool shuffles = options.shuffle || images.in_order_of_classes;
    finish(*lock, options, [&] {
      write_image_file(options.output, images,
                       shuffles ? std::optional(options.seed) : std::nullopt);
    });
    log::info("{}: {} images of [{}] from {:.1f} MB, in {:.1f} s", options.output,
              images.labels.size(), fmt::join(images.shape, ", "),
              megabytes(std::ssize(images.bytes)), now() - started);
    if (images.in_order_of_classes && !options.shuffle) {
      log::info("the images were in order of their classes, and stand in an order of --seed {}",
                options.seed);
    }
  });
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    const char kind = i + 1 < text.size() ? text[++i] : ' ';
    constexpr std::string_view kNames = "ntr0\\";
    constexpr std::string_view kBytes{"\n\t\r\0\\", 5};
    unsigned value = 0;
    if (const auto at = kNames.find(kind); at != std::string_view::npos) {
      out += kBytes[at];
      continue;
    }
    const std::string_view digits = kind == 'x' ? text.substr(i + 1, 2) : "";
    const auto [stop, code] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    TRM_REQUIRE(digits.size() == 2 && code == std::errc() && stop == digits.data() + 2,
                "\"{}\": the escape \\{} is unknown; use \\n \\t \\r \\0 \\\\ \\xHH", text,
                kind);
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

}  // namespace trireme
