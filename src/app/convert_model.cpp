// SPDX-License-Identifier: Apache-2.0
// Models between the two formats.
#include "convert_model.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "trireme/checkpoint/averaged_weights.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/checkpoint/weight_writer.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"
#include "trireme/data/token_source.hpp"
#include "trireme/deck/machine.hpp"
#include "trireme/deck/tokenizer.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/huggingface/adapters.hpp"
#include "trireme/huggingface/export.hpp"
#include "trireme/huggingface/model_folder.hpp"
#include "trireme/train/merged_weights.hpp"

#include "deck_tokenizer.hpp"
#include "inspect.hpp"
#include "resume.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

std::optional<DType> type_named(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name == "float32") return DType::f32;
  if (name == "bfloat16") return DType::bf16;
  if (name == "float16") return DType::f16;
  throw Error(fmt::format("--dtype {}: use float32, bfloat16 or float16", name));
}

/// Bytes of all tensors under `model/`, in one type.
std::int64_t bytes_of(const WeightSource& source, std::optional<DType> type) {
  std::int64_t sum = 0;
  for (const std::string& name : source.names()) {
    if (!name.starts_with("model/")) continue;
    sum += source.global_shape(name).count() *
           static_cast<std::int64_t>(size_of(type.value_or(source.dtype(name))));
  }
  return sum;
}

/// What is done, while it is done and in the end.
class Report {
 public:
  explicit Report(std::int64_t bytes)
      : bytes_(bytes),
        begin_(now()),
        progress_(std::in_place, "converted", "MB", megabytes(bytes)) {}
  void update(std::int64_t bytes) { progress_->update(megabytes(bytes)); }
  void finish(const std::string& what) {
    progress_.reset();
    const double seconds = std::max(now() - begin_, 1e-9);
    log::info("{}: {:.1f} MB in {:.1f} s, {:.0f} MB/s", what, megabytes(bytes_), seconds,
              megabytes(bytes_) / seconds);
  }

 private:
  std::int64_t bytes_;
  double begin_;
  std::optional<Progress> progress_;
};

void to_checkpoint(const ConvertModelOptions& options) {
  TRM_REQUIRE(!options.adapters, "--adapters: {} is no checkpoint of a run with adapters",
              options.from);
  TRM_REQUIRE(!options.averages, "--ema: {} is no checkpoint of a run with ema", options.from);
  TRM_REQUIRE(options.model_type.empty(),
              "--family is for folders that are written; {} says its own", options.from);
  huggingface::ModelFolder source(options.from);
  const auto type = type_named(options.type);
  Deck deck = source.deck();
  // Adapters belong to their base, which a later export of them names.
  const bool has_adapters = source.base() != options.from;
  deck.load = has_adapters ? source.base() : "";
  deck.finetune = has_adapters;
  RunState state;
  state.seed = deck.seed;
  state.deck = to_yaml(deck);
  state.version = kVersion;
  state.mesh = "converted from " + options.from;
  const auto take_tokenizer = [&](const std::string& folder) {
    return failure_of([&] {
      const auto tokenizer = open_tokenizer({.name = folder});
      state.tokenizer_kind = tokenizer->kind();
      state.tokenizer_definition = tokenizer->definition();
    });
  };
  auto failure = take_tokenizer(options.from);
  if (failure && has_adapters) failure = take_tokenizer(source.base());
  if (failure) log::info("the checkpoint has no tokenizer: {}", failure->what());
  Report report(bytes_of(source, type));
  write_weights(options.to, state,
                {.source = source, .type = type, .progress = [&](std::int64_t bytes) {
                   report.update(bytes);
                 }});
  report.finish(fmt::format(
      "{}: a checkpoint of the {} model in {}{}; a deck loads it with load: "
      "{} and finetune: true",
      options.to, source.model_type(), source.base(),
      has_adapters ? fmt::format(" with the adapters in {}", options.from) : "", options.to));
}

/// The checkpoint's tokenizer, or else the deck's. The deck's file counts only if it holds the
/// same.
huggingface::TokenizerToWrite tokenizer_to_write(const RunState& state, const Deck& deck) {
  huggingface::TokenizerToWrite kept{state.tokenizer_kind, state.tokenizer_definition};
  std::unique_ptr<Tokenizer> named;
  const auto failure = failure_of([&] { named = open_deck_tokenizer(deck); });
  if (failure || named == nullptr) {
    if (kept.kind.empty()) kept.file = deck.vocab_file;
    return kept;
  }
  if (kept.kind.empty()) return {named->kind(), named->definition(), deck.vocab_file};
  if (same_tokenizer(kept.kind, kept.definition, named->kind(), named->definition())) {
    kept.file = deck.vocab_file;
  }
  return kept;
}

/// Writes the adapters of a checkpoint alone.
void to_adapters(WeightSource& source, const std::string& folder, const Deck& deck,
                 const ConvertModelOptions& options) {
  TRM_REQUIRE(options.most_bytes == ConvertModelOptions{}.most_bytes,
              "--max-shard-size has no meaning for --adapters: adapters are one file");
  const double begin = now();
  const auto done = huggingface::write_adapter_folder(
      source, deck,
      {.to = options.to, .model_type = options.model_type, .type = type_named(options.type)});
  log::info("{}: adapters of {} matrices of a {} model from {}, as PEFT has them, in {:.1f} s",
            options.to, done.matrices, done.model_type, folder, now() - begin);
}

void to_folder(const ConvertModelOptions& options) {
  CheckpointReader checkpoint(find_checkpoint(options.from));
  checkpoint.check_files();
  Deck deck = deck_of(checkpoint);
  TRM_REQUIRE(
      deck.model.task != Task::image_classification,
      "{}: a classifier of images is not written as a model of Hugging Face's; its checkpoint "
      "is plain HDF5",
      options.from);
  std::optional<AveragedWeights> averages;
  if (options.averages) averages.emplace(checkpoint, checkpoint.folder());
  WeightSource& given = averages ? static_cast<WeightSource&>(*averages) : checkpoint;
  if (options.adapters) return to_adapters(given, checkpoint.folder(), deck, options);
  MergedWeights merged(given, deck.model.lora);
  const bool adapted = deck.model.lora.enabled();
  deck.model.lora = {};  // what is written has none
  WeightSource& source = adapted ? static_cast<WeightSource&>(merged) : given;
  huggingface::ExportOptions how{.to = options.to,
                                 .model_type = options.model_type,
                                 .type = type_named(options.type),
                                 .most_bytes = parse_bytes(options.most_bytes),
                                 .origin = checkpoint.folder()};
  Report report(bytes_of(source, how.type));
  how.progress = [&](std::int64_t bytes) { report.update(bytes); };
  const auto tokenizer = tokenizer_to_write(checkpoint.state(), deck);
  const auto done = huggingface::write_model_folder(source, deck, tokenizer, how);
  report.finish(fmt::format("{}: a {} model in {} from {}{}{}", options.to, done.model_type,
                            name_of(done.type), checkpoint.folder(),
                            options.averages ? ", the moving average of its weights" : "",
                            adapted ? ", with its adapters merged" : ""));
  if (!done.tokenizer) {
    log::info("{}: no tokenizer is known; put its files into the folder", options.to);
  }
}

/// The name of the folder TO without separators at its end, so that a temporary can stand
/// beside it.
std::string plain_name(const std::string& to) {
  TRM_REQUIRE(!to.empty(), "TO is empty; name a folder that doesn't exist");
  fs::path path = to;
  while (path.has_relative_path() && (!path.has_filename() || path.filename() == ".")) {
    if (!path.has_parent_path()) break;  // "."
    path = path.parent_path();
  }
  TRM_REQUIRE(path.filename() != "..", "{}: name a folder that doesn't exist", to);
  return path.string();
}

}  // namespace

void convert_model(const ConvertModelOptions& given) {
  ConvertModelOptions options = given;
  options.to = plain_name(given.to);
  std::error_code code;
  TRM_REQUIRE(fs::exists(options.from, code) || !tokens_exist(options.from),
              "{}: these are tokens: trireme convert data {} {}", options.from, options.from,
              options.to);
  TRM_REQUIRE(
      fs::is_directory(options.from, code),
      "{}: not a folder; FROM is a checkpoint, a run's folder, or a model's folder with "
      "config.json; for tokens: trireme convert data FROM TO",
      options.from);
  TRM_REQUIRE(!fs::exists(fs::symlink_status(options.to, code)),
              "{}: there is something already; name a folder that doesn't exist", options.to);
  if (huggingface::is_model_folder(options.from)) {
    to_checkpoint(options);
  } else {
    to_folder(options);
  }
}

void print_deck_of_model(const std::string& folder) {
  TRM_REQUIRE(huggingface::is_model_folder(folder),
              "{}: there is no config.json, as the folder of a Hugging Face model has", folder);
  fmt::print("{}", huggingface::deck_text(folder));
}

}  // namespace trireme
