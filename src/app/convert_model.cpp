// SPDX-License-Identifier: Apache-2.0
// Models between the two formats.
#include "convert_model.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

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
  TRM_REQUIRE(options.model_type.empty(),
              "--family is for folders that are written; {} says its own", options.from);
  huggingface::ModelFolder source(options.from);
  const auto type = type_named(options.type);
  Deck deck = source.deck();
  deck.load.clear();
  deck.finetune = false;
  RunState state;
  state.seed = deck.seed;
  state.deck = to_yaml(deck);
  state.version = kVersion;
  state.mesh = "converted from " + options.from;
  if (const auto tokenizer = open_deck_tokenizer(deck)) {
    state.tokenizer_kind = tokenizer->kind();
    state.tokenizer_definition = tokenizer->definition();
  }
  Report report(bytes_of(source, type));
  write_weights(options.to, state,
                {.source = source, .type = type, .progress = [&](std::int64_t bytes) {
                   report.update(bytes);
                 }});
  report.finish(
      fmt::format("{}: a checkpoint of the {} model in {}; a deck loads it with load: "
                  "{} and finetune: true",
                  options.to, source.model_type(), options.from, options.to));
}

/// Writes the adapters of a checkpoint alone.
void to_adapters(CheckpointReader& source, const Deck& deck,
                 const ConvertModelOptions& options) {
  const double begin = now();
  const auto done = huggingface::write_adapter_folder(
      source, deck,
      {.to = options.to, .model_type = options.model_type, .type = type_named(options.type)});
  log::info("{}: adapters of {} matrices of a {} model from {}, as PEFT has them, in {:.1f} s",
            options.to, done.matrices, done.model_type, source.folder(), now() - begin);
}

void to_folder(const ConvertModelOptions& options) {
  CheckpointReader checkpoint(find_checkpoint(options.from));
  checkpoint.check_files();
  Deck deck = deck_of(checkpoint);
  if (options.adapters) return to_adapters(checkpoint, deck, options);
  MergedWeights merged(checkpoint, deck.model.lora);
  const bool adapted = deck.model.lora.enabled();
  deck.model.lora = {};  // what is written has none
  WeightSource& source = adapted ? static_cast<WeightSource&>(merged) : checkpoint;
  huggingface::ExportOptions how{.to = options.to,
                                 .model_type = options.model_type,
                                 .type = type_named(options.type),
                                 .most_bytes = parse_bytes(options.most_bytes),
                                 .origin = checkpoint.folder()};
  Report report(bytes_of(source, how.type));
  how.progress = [&](std::int64_t bytes) { report.update(bytes); };
  std::error_code code;
  huggingface::TokenizerToWrite tokenizer{checkpoint.state().tokenizer_kind,
                                          checkpoint.state().tokenizer_definition};
  if (fs::exists(deck.vocab_file, code)) tokenizer.file = deck.vocab_file;
  const auto done = huggingface::write_model_folder(source, deck, tokenizer, how);
  report.finish(fmt::format("{}: a {} model in {} from {}{}", options.to, done.model_type,
                            name_of(done.type), checkpoint.folder(),
                            adapted ? ", with its adapters merged" : ""));
  if (!done.tokenizer) {
    log::info("{}: no tokenizer is known; put its files into the folder", options.to);
  }
}

}  // namespace

void convert_model(const ConvertModelOptions& options) {
  std::error_code code;
  TRM_REQUIRE(fs::exists(options.from, code) || !tokens_exist(options.from),
              "{}: these are tokens: trireme convert data {} {}", options.from, options.from,
              options.to);
  TRM_REQUIRE(
      fs::is_directory(options.from, code),
      "{}: not a folder; FROM is a checkpoint, a run's folder, or a model's folder with "
      "config.json; for tokens: trireme convert data FROM TO",
      options.from);
  TRM_REQUIRE(!fs::exists(options.to, code),
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
