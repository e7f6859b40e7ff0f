// SPDX-License-Identifier: Apache-2.0
// The ranks of `trireme prepare`. In round r, rank i tokenises block r · ranks + i, and all
// ranks agree that none failed. Other ranks then send their tokens to rank 0, which writes them
// in order while the others tokenise the next round. An error therefore reaches all ranks, and
// the first error in input order is reported.
#include "prepare.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <memory>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/record/owner_lock.hpp"

#include "run_files.hpp"

namespace trireme {

namespace {

constexpr int kTag = 0;

template <class T>
View view_of(std::vector<T>& data) {
  return {data.data(), kDTypeOf<T>, Shape{static_cast<std::int64_t>(data.size())}};
}

/// One block's pieces while they are sent to rank 0. Their memory must stay valid until the
/// last wait().
class Parcel {
 public:
  void send(TextPieces&& pieces, Communicator& world) {
    wait();
    pieces_ = std::move(pieces);
    header_ = {pieces_.tokens.size(), pieces_.ends.size(), pieces_.hash,
               pieces_.has_crlf ? 1U : 0U};
    const View header(header_.data(), DType::u64, Shape{kHeader});
    requests_.push_back(world.start_send(header, 0, kTag));
    if (!pieces_.tokens.empty()) {
      requests_.push_back(world.start_send(view_of(pieces_.tokens), 0, kTag));
    }
    if (!pieces_.ends.empty()) {
      requests_.push_back(world.start_send(view_of(pieces_.ends), 0, kTag));
    }
  }
  void wait() {
    for (const RequestPtr& request : requests_) request->wait();
    requests_.clear();
  }

  static void receive(TextPieces& pieces, int from, Communicator& world) {
    std::array<std::uint64_t, kHeader> header{};
    world.start_receive(View(header.data(), DType::u64, Shape{kHeader}), from, kTag)->wait();
    pieces.tokens.resize(header[0]);
    pieces.ends.resize(header[1]);
    pieces.hash = header[2];
    pieces.has_crlf = header[3] != 0;
    if (header[0] > 0) world.start_receive(view_of(pieces.tokens), from, kTag)->wait();
    if (header[1] > 0) world.start_receive(view_of(pieces.ends), from, kTag)->wait();
  }

 private:
  static constexpr int kHeader = 4;
  TextPieces pieces_;
  std::array<std::uint64_t, kHeader> header_{};
  std::vector<RequestPtr> requests_;
};

/// Objects that only rank 0 has.
struct Output {
  Output(std::unique_ptr<OwnerLock> owner, const PrepareOptions& options,
         const TextBlocks& blocks, const Tokenizer& tokenizer)
      : lock(std::move(owner)),
        writer(options.output, tokenizer),
        joiner(blocks, writer),
        progress("preparing " + printable(options.output), "MB",
                 static_cast<double>(blocks.bytes()) * 1e-6) {}

  void add(const TextBlocks& blocks, std::int64_t k, const TextPieces& pieces) {
    joiner.add(k, pieces);
    const TextBlocks::Place place = blocks.place(k);
    bytes += place.end - place.begin;
    progress.update(static_cast<double>(bytes) * 1e-6);
  }

  std::unique_ptr<OwnerLock> lock;  ///< before the writer: its file goes first
  TokenFileWriter writer;
  DocumentJoiner joiner;
  Progress progress;
  std::int64_t bytes = 0;
};

/// Every rank lists the input files itself, as files can differ between nodes.
std::vector<TextInput> agreed_inputs(const PrepareOptions& options, const TextFormat& format,
                                     Communicator& world) {
  std::vector<TextInput> inputs =
      collectively(world, [&] { return find_inputs(options.inputs, format); });
  std::string facts;
  for (const TextInput& input : inputs) {
    facts += fmt::format("{} bytes{}, ", input.bytes, input.jsonl ? " of JSON lines" : "");
  }
  const std::string first = world.broadcast_text(facts, 0);
  collectively(world, [&] {
    TRM_REQUIRE(facts == first, "rank {} finds other input files than rank 0 ({}but {})",
                world.rank(), shortened(facts, 200), shortened(first, 200));
  });
  return inputs;
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

void run_rounds(TextBlocks& blocks, Output* output, Communicator& world) {
  const int ranks = world.size();
  Parcel parcel;
  TextPieces pieces;
  std::optional<Error> error;
  for (std::int64_t first = 0; first < blocks.count(); first += ranks) {
    const std::int64_t mine = first + world.rank();
    const std::int64_t end = std::min(first + ranks, blocks.count());
    if (!error && mine < end) error = failure_of([&] { pieces = blocks.read(mine); });
    parcel.wait();  // already sent: rank 0 receives a whole round before it agrees on the next
    world.agree(error);
    if (output == nullptr) {
      if (mine < end) parcel.send(std::exchange(pieces, {}), world);
      continue;
    }
    for (std::int64_t k = first; k < end; ++k) {
      if (k > first) Parcel::receive(pieces, static_cast<int>(k - first), world);
      // A full disk ends the run at the next agreement. Until then rank 0 receives the other
      // ranks' parcels; otherwise these ranks would wait forever.
      if (!error) error = failure_of([&] { output->add(blocks, k, pieces); });
    }
  }
  parcel.wait();
  world.agree(error);
}

/// The output must not replace the input.
void require_other_file(const PrepareOptions& options) {
  std::error_code ignored;  // the output may not exist yet
  for (const std::string& input : options.inputs) {
    TRM_REQUIRE(!std::filesystem::equivalent(input, options.output, ignored),
                "{}: this file is both input and output", input);
  }
}

bool is_taken(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
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
std::unique_ptr<OwnerLock> claim_output(const PrepareOptions& options) {
  require_other_file(options);
  const std::string folder = folder_of(options.output);
  const int reason = make_folder_of(options.output);
  TRM_REQUIRE_SYSTEM(reason == 0, reason, "{}: cannot make its folder {}", options.output,
                     folder);
  require_free(options);
  auto lock = std::make_unique<OwnerLock>(options.output + ".lock",
                                          fmt::format("output: {}", options.output));
  require_free(options);
  remove_temporary_files(folder, {std::filesystem::path(options.output).filename().string()});
  return lock;
}

/// Completes the output. What had its name is moved aside, and back if that fails.
void finish(Output& output, const PrepareOptions& options) {
  output.lock->require();
  require_free(options);
  std::string aside;
  if (is_taken(options.output)) {
    aside = name_aside(options.output);
    rename_path(options.output, aside);
  }
  try {
    output.writer.finish(output.joiner.source_hash());
  } catch (const Error&) {
    if (!aside.empty() && !is_taken(options.output)) rename_path(aside, options.output);
    throw;
  }
  if (!aside.empty()) log::info("{}: the file that had this name is {}", options.output, aside);
}

}  // namespace

PrepareSummary prepare(const PrepareOptions& options, Communicator& world) {
  const double started = now();
  TextFormat format;
  format.all_jsonl = options.jsonl_key.has_value();
  if (format.all_jsonl) format.jsonl_key = *options.jsonl_key;
  format.separator = options.separator;
  format.as_it_is = options.format == "text";
  format.all_jsonl |= options.format == "jsonl";

  const auto tokenizer = shared_tokenizer(options.tokenizer, world);
  TextBlocks blocks(agreed_inputs(options, format, world), format, *tokenizer,
                    options.block_bytes);
  std::optional<Output> output;
  collectively(world, [&] {
    if (world.rank() != 0) return;
    output.emplace(claim_output(options), options, blocks, *tokenizer);
  });
  run_rounds(blocks, output ? &*output : nullptr, world);

  PrepareSummary summary;
  collectively(world, [&] {
    if (!output) return;
    summary.warning = output->joiner.check_separator();
    finish(*output, options);
    summary.bytes = blocks.bytes();
    summary.tokens = output->writer.tokens();
    summary.documents = output->writer.documents();
    summary.dropped = output->writer.dropped();
    summary.seconds = now() - started;
  });
  return summary;
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
