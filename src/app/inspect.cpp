// SPDX-License-Identifier: Apache-2.0
// The inspect command.
#include "inspect.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <vector>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/data/token_source.hpp"
#include "trireme/host/progress.hpp"

#include "diff.hpp"
#include "inspect_step.hpp"
#include "inspect_tokens.hpp"
#include "resume.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

std::int64_t bytes_of(const CheckpointReader& reader, const std::string& name) {
  return reader.global_shape(name).count() *
         static_cast<std::int64_t>(size_of(reader.dtype(name)));
}

void print_state(const CheckpointReader& reader) {
  const RunState& s = reader.state();
  log::info("checkpoint  {}", reader.folder());
  log::info("iteration   {}", s.iteration);
  log::info("samples     {} consumed", s.samples_consumed);
  log::info("optimizer   {} steps", s.optimizer_steps);
  log::info("seed        {}", s.seed);
  log::info("loss scale  {}{}", s.loss_scale,
            s.hysteresis < 0 ? ""
                             : fmt::format(", {} steps without overflow, hysteresis {}",
                                           s.clean_steps, s.hysteresis));
  log::info("layout      {}", s.mesh);
  log::info("tokenizer   {}", s.tokenizer_kind.empty() ? "unknown" : s.tokenizer_kind);
  log::info("version     {}", s.version);
}

void print_totals(const CheckpointReader& reader, const std::vector<std::string>& names) {
  std::int64_t files = 0;
  for (const auto& shard : reader.shards()) files += shard.bytes;
  std::int64_t parameters = 0;
  std::int64_t model = 0;
  std::int64_t optimizer = 0;
  for (const auto& name : names) {
    const bool weights = name.starts_with("model/");
    (weights ? model : optimizer) += bytes_of(reader, name);
    if (weights) parameters += reader.global_shape(name).count();
  }
  log::info("shards      {}, {} bytes ({})",
            grouped(static_cast<std::int64_t>(reader.shards().size())), grouped(files),
            decimal_size(files));
  log::info("model       {} parameters, {} bytes ({})", grouped(parameters), grouped(model),
            decimal_size(model));
  log::info("optimizer   {} bytes ({})", grouped(optimizer), decimal_size(optimizer));
}

void print_tensors(const CheckpointReader& reader, const std::vector<std::string>& names) {
  std::size_t name_width = std::string_view("tensor").size();
  std::size_t shape_width = std::string_view("shape").size();
  for (const auto& name : names) {
    name_width = std::max(name_width, name.size());
    shape_width = std::max(shape_width, reader.global_shape(name).str().size());
  }
  log::info("{:<{}}  {:<6}  {:<{}}  {:>10}  pieces", "tensor", name_width, "type", "shape",
            shape_width, "MiB");
  for (const auto& name : names) {
    log::info("{:<{}}  {:<6}  {:<{}}  {:>10.3f}  {:>6}", name, name_width,
              name_of(reader.dtype(name)), reader.global_shape(name).str(), shape_width,
              static_cast<double>(bytes_of(reader, name)) / (1 << 20), reader.pieces(name));
  }
}

/// Prints the lists first, as the summary then stays in sight below them.
void print(const CheckpointReader& reader, bool deck, bool optimizer) {
  auto names = reader.names();
  std::ranges::sort(names, in_model_order);
  std::vector<std::string> listed = names;
  if (!optimizer) {
    std::erase_if(listed, [](const auto& name) { return !name.starts_with("model/"); });
  }
  print_tensors(reader, listed);
  if (listed.size() < names.size()) {
    log::info("and {} tensors of the optimizer, which --optimizer lists",
              names.size() - listed.size());
  }
  log::info("");
  if (deck) {
    log::info("deck");
    const RunState& state = reader.state();
    const bool current = state.format_version == RunState::kFormat;
    std::istringstream lines(current ? state.deck : to_yaml(deck_of(reader)));
    for (std::string line; std::getline(lines, line);) log::info("{}", line);
    log::info("");
  }
  print_state(reader);
  print_totals(reader, names);
}

void verify(CheckpointReader& reader) {
  const double begin = now();
  std::int64_t total = 0;
  std::int64_t done = 0;
  for (const auto& shard : reader.shards()) total += shard.bytes;
  {
    Progress progress("verified", "MB", megabytes(total));
    reader.verify([&](std::int64_t bytes) {
      done += bytes;
      progress.update(megabytes(done));
    });
  }
  const double seconds = std::max(now() - begin, 1e-9);
  log::info("{}: all {} shards are whole: {:.1f} MB in {:.2f} s, {:.2f} GB/s", reader.folder(),
            reader.shards().size(), megabytes(total), seconds,
            megabytes(total) * 1e-3 / seconds);
}

}  // namespace

std::string find_checkpoint(const std::string& given) {
  fs::path path = fs::path(given).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // remove a slash at the end
  std::error_code code;
  TRM_REQUIRE(fs::exists(path, code), "{}: there is no such folder", given);
  TRM_REQUIRE(fs::is_directory(path, code),
              "{}: not a folder; a checkpoint is the folder …/global_stepN or a run's", given);
  // A folder that only has a checkpoint's name may be incomplete. Opening the folder reports
  // what is missing.
  if (is_checkpoint(path.string())) return path.string();
  const Candidates found = find_checkpoints(path.string());
  if (!found.note.empty()) log::warn("{}", found.note);
  TRM_REQUIRE(!found.paths.empty(), "{}: neither a checkpoint nor a folder with any", given);
  log::info("{}: {} {}", given, found.note.empty() ? "latest names" : "the best is",
            fs::path(found.paths.front()).filename().string());
  return found.paths.front();
}

int inspect(const InspectOptions& options) {
  std::error_code code;
  TRM_REQUIRE(options.sample < 0 || options.step > 0, "--sample needs --step");
  if (options.step > 0) {
    inspect_step(options.checkpoint, options.step, options.sample);
    return 0;
  }
  if (options.document >= 0) {
    inspect_document(options.checkpoint, options.document);
    return 0;
  }
  const bool one = options.other.empty() && !options.deck &&
                   fs::path(options.checkpoint).filename() != "checkpoint.h5";
  if (one && tokens_exist(options.checkpoint) && !fs::is_directory(options.checkpoint, code)) {
    inspect_tokens(options.checkpoint, options.verify);
    return 0;
  }
  CheckpointReader reader(find_checkpoint(options.checkpoint));
  if (options.other.empty()) {
    print(reader, options.deck, options.optimizer);
    if (options.verify) {
      verify(reader);
    } else {
      reader.check_files();
    }
    return 0;
  }
  CheckpointReader other(find_checkpoint(options.other));
  if (options.verify) {
    verify(reader);
    verify(other);
  }
  log::info("{} | {}", reader.folder(), other.folder());
  return print_differences(reader, other) ? 0 : 1;
}

}  // namespace trireme
