// SPDX-License-Identifier: Apache-2.0
// Looks up samples by the deck and the metrics of a run.
#include "inspect_step.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/ranges.h>

#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/data/samples.hpp"
#include "trireme/h5/file.hpp"

#include "deck_tokenizer.hpp"
#include "inputs.hpp"
#include "run_files.hpp"

namespace trireme {

namespace {

constexpr std::size_t kShort = 96;      // bytes of text beside each sample of a list
constexpr std::size_t kLong = 1 << 20;  // bytes of text of one sample

/// Samples that the run had consumed before the step. The metrics know of other batch sizes
/// before. Without metrics, the batch size of the deck decides.
std::int64_t samples_before(const std::string& run, const Deck& deck, std::int64_t step) {
  const std::string path = run + "/metrics.h5";
  const BatchRamp ramp = batch_ramp(deck);
  std::error_code code;
  if (std::filesystem::exists(path, code)) {
    const h5::File file(path, h5::Mode::read);
    if (file.has_dataset("train/iteration") && file.has_dataset("train/samples")) {
      const h5::Dataset iterations = file.dataset("train/iteration");
      const Shape shape = iterations.shape();
      std::vector<std::int64_t> iteration(static_cast<std::size_t>(shape.count()));
      std::vector<std::int64_t> samples(iteration.size());
      if (!iteration.empty()) {
        iterations.read(View(iteration.data(), DType::i64, shape));
        file.dataset("train/samples").read(View(samples.data(), DType::i64, shape));
      }
      const auto row = std::ranges::find(iteration, step);
      const auto before = std::ranges::find(iteration, step - 1);
      if (before != iteration.end()) {
        return samples[static_cast<std::size_t>(before - iteration.begin())];
      }
      if (row != iteration.end() && !ramp.grows()) {
        return samples[static_cast<std::size_t>(row - iteration.begin())] -
               deck.train_batch_size;
      }
    }
  }
  log::info("{} has no row of iteration {}: the batch size of the deck is used", path, step);
  return ramp.advance(0, step - 1);
}

/// The document that holds a token. Empty documents begin at the place of the next one, and the
/// search passes over them.
std::int64_t document_of(const TokenSource& source, std::int64_t token) {
  std::int64_t low = 0;
  std::int64_t high = source.documents();
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (source.document_start(middle) <= token ? low : high) = middle;
  }
  return low;
}

/// "documents 12 to 14, from token 5 of the first; tokens 100 to 131 of the file".
std::string range_text(const TokenSource& source, const TokenRange& range) {
  const std::int64_t first = document_of(source, range.begin);
  const std::int64_t last = document_of(source, range.end - 1);
  const std::int64_t skipped = range.begin - source.document_start(first);
  return fmt::format("{}, tokens {} to {} of the file",
                     first == last
                         ? fmt::format("document {} from its token {} on", first, skipped)
                         : fmt::format("documents {} to {}, the first from its token {} on",
                                       first, last, skipped),
                     range.begin, range.end - 1);
}

std::vector<std::int32_t> ids_of(const std::vector<std::int32_t>& stored) {
  std::vector<std::int32_t> ids(stored.size());
  std::ranges::transform(stored, ids.begin(), id_of);
  return ids;
}

void print_sample(const Samples& samples, const Tokenizer* tokenizer, std::uint64_t k,
                  std::int64_t in_step, bool whole) {
  const SamplePlace place = samples.place(k);
  const TokenSource& source = samples.file(place.file);
  const SampleLayout& layout = samples.layout();
  std::vector<std::int32_t> stored(static_cast<std::size_t>(layout.numbers()));
  samples.get(k, stored);
  const std::span<const std::int32_t> targets =
      std::span(stored).subspan(static_cast<std::size_t>(layout.first_target));
  const auto counted = std::ranges::count_if(targets, [](std::int32_t id) { return id >= 0; });
  const bool apart = layout.first_target == layout.inputs;
  const std::int32_t label = stored.back();
  if (apart) stored.resize(static_cast<std::size_t>(layout.inputs));
  const std::string text = text_of(tokenizer, ids_of(stored));
  log::info("sample {:>5}  number {}, {} epoch {}", in_step, k, source.path(), place.epoch + 1);
  for (const TokenRange& range : place.ranges) {
    log::info("              {}", range_text(source, range));
  }
  if (!whole) {
    log::info("              {}", shortened(text, kShort));
    return;
  }
  log::info("targets       {} of {} count", counted, layout.targets);
  if (layout.targets == 1 && apart) {
    const auto& names = samples.class_names();
    const bool named = label >= 0 && label < std::ssize(names);
    log::info("label         {}{}", label,
              named ? ", " + printable(names[static_cast<std::size_t>(label)]) : "");
  }
  log::info("ids           {}", fmt::join(ids_of(stored), " "));
  log::info("text          {}", shortened(text, kLong));
}

}  // namespace

std::string text_of(const Tokenizer* tokenizer, std::span<const std::int32_t> ids) {
  std::optional<std::string> text;
  if (tokenizer != nullptr && failure_of([&] { text = tokenizer->decode(ids); })) text.reset();
  return text ? printable(*text) : fmt::format("{}", fmt::join(ids, " "));
}

void inspect_step(const std::string& run, std::int64_t step, std::int64_t sample) {
  const auto deck = last_deck(run);
  TRM_REQUIRE(deck, "{}: there is no deck.yml of a run, which --step needs", run);
  TRM_REQUIRE(step >= 1 && step <= deck->train_iters, "--step {}: the run has steps 1 to {}",
              step, deck->train_iters);
  const auto samples = open_samples(*deck, Part::train, DocumentCheck::none);
  TRM_REQUIRE(samples, "{}: the run's deck names no training data", run);
  const std::int64_t before = samples_before(run, *deck, step);
  const std::int64_t batch = batch_ramp(*deck).batch_after(before);
  TRM_REQUIRE(sample < batch, "--sample {}: this step has samples 0 to {}", sample, batch - 1);
  const auto first = static_cast<std::uint64_t>(before);
  const std::int64_t used = curriculum_length(deck->curriculum, samples->seq_length(), step);
  log::info("step {}: samples {} to {} of {} tokens{}", step, first,
            first + static_cast<std::uint64_t>(batch) - 1, samples->seq_length(),
            used < samples->seq_length() ? fmt::format(", of which the first {} are used", used)
                                         : "");
  // One for each file that the step reads; null where its text cannot be known.
  std::vector<std::optional<std::unique_ptr<Tokenizer>>> tokenizers;
  for (std::int64_t i = 0; i < batch; ++i) {
    if (sample >= 0 && i != sample) continue;
    const std::size_t file = samples->place(first + static_cast<std::uint64_t>(i)).file;
    if (tokenizers.size() <= file) tokenizers.resize(file + 1);
    if (!tokenizers[file]) tokenizers[file] = tokenizer_for(samples->file(file), *deck);
    print_sample(*samples, tokenizers[file]->get(), first + static_cast<std::uint64_t>(i), i,
                 sample >= 0);
  }
}

void inspect_document(const std::string& path, std::int64_t document) {
  const auto source = open_tokens(path, DocumentCheck::none);
  TRM_REQUIRE(document >= 0 && document < source->documents(),
              "--document {}: {} has documents 0 to {}", document, path,
              source->documents() - 1);
  const std::int64_t begin = source->document_start(document);
  const std::int64_t tokens = source->document_start(document + 1) - begin;
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens));
  source->read(begin, ids);
  log::info("document {}  {} tokens, from token {} of the file on", document, tokens, begin);
  if (source->has_loss_mask()) {
    std::vector<std::uint8_t> counts(ids.size());
    source->read_loss_mask(begin, counts);
    log::info("targets     {} of {} count", std::ranges::count(counts, std::uint8_t{1}),
              tokens);
  }
  log::info("ids         {}", fmt::join(ids, " "));
  std::unique_ptr<Tokenizer> tokenizer;
  static_cast<void>(failure_of([&] { tokenizer = tokenizer_of(*source); }));
  log::info("text        {}", shortened(text_of(tokenizer.get(), ids), kLong));
}

}  // namespace trireme
