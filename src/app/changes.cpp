// SPDX-License-Identifier: Apache-2.0
// Compares decks by value, and keeps the batch size of a resumed run.
#include "changes.hpp"

#include <algorithm>
#include <limits>
#include <string_view>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/deck/keys.hpp"
#include "trireme/host/build_info.hpp"

#include "run_files.hpp"

namespace trireme {

namespace {

/// Keys that say how to load, which a first start has in another way than later ones.
constexpr std::string_view kHowToLoad[] = {"load",          "finetune",
                                           "no_load_optim", "override_lr_scheduler",
                                           "no_load_rng",   "use_checkpoint_lr_scheduler"};

constexpr std::string_view kFolders[] = {"save", "run_dir", "tensorboard_dir"};
constexpr std::string_view kFileLists[] = {"data_path", "train_data_paths", "valid_data_paths",
                                           "test_data_paths"};

bool is_one_of(std::span<const std::string_view> names, std::string_view key) {
  return std::ranges::find(names, key) != names.end();
}

/// A value as deck::field_text() writes it, without quotes.
std::string plain(std::string_view text) {
  const auto first = text.find_first_not_of(" \"'");
  if (first == std::string_view::npos) return {};
  const auto last = text.find_last_not_of(" \"'");
  return std::string(text.substr(first, last - first + 1));
}

std::string canonical(std::string_view path) { return without_links(plain(path)).string(); }

std::vector<std::string> canonical_list(std::string_view text) {
  std::vector<std::string> paths;
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  for (const std::string& path : deck::split_words(text, ',')) paths.push_back(canonical(path));
  return paths;
}

std::string short_name(const std::string& key) {
  constexpr std::string_view kBefore = "optimizer.params.";
  return key.starts_with(kBefore) ? key.substr(kBefore.size()) : key;
}

}  // namespace

Settings settings_of(const Deck& deck) {
  Settings values;
  deck::Draft draft = deck::unfold(deck);
  for (const deck::Section& section : deck::key_sections()) {
    for (const deck::Key& key : section.keys) {
      if (key.need == deck::Need::input) continue;
      values[std::string(key.path)] = deck::field_text(key, draft);
    }
  }
  return values;
}

bool same_value(const std::string& key, const std::string& a, const std::string& b) {
  if (a == b) return true;
  if (key == "split") return split_fractions(plain(a)) == split_fractions(plain(b));
  if (a == "null" || b == "null") return false;
  if (is_one_of(kFolders, key)) return canonical(a) == canonical(b);
  if (is_one_of(kFileLists, key)) return canonical_list(a) == canonical_list(b);
  return false;
}

std::int64_t ranks_of(const Deck& deck) {
  const std::int64_t per_step =
      deck.train_micro_batch_size_per_gpu * deck.gradient_accumulation_steps;
  const std::int64_t dp = per_step > 0 ? deck.train_batch_size / per_step : 1;
  return std::max<std::int64_t>(dp, 1) * deck.pipe_parallel_size * deck.model_parallel_size;
}

std::string changes_since(const RunState& state, const Deck& then, const Deck& now) {
  const Settings before = settings_of(then);
  const Settings after = settings_of(now);
  std::vector<std::string> changes;
  for (const deck::Section& section : deck::key_sections()) {  // in the order of the keys' page
    for (const deck::Key& key : section.keys) {
      const std::string name(key.path);
      if (key.need == deck::Need::input || is_one_of(kHowToLoad, name)) continue;
      if (same_value(name, before.at(name), after.at(name))) continue;
      changes.push_back(
          fmt::format("{} {} → {}", short_name(name), before.at(name), after.at(name)));
    }
  }
  if (ranks_of(then) != ranks_of(now)) {
    changes.push_back(fmt::format("{} → {} ranks", ranks_of(then), ranks_of(now)));
  }
  if (state.version != kVersion) {
    changes.push_back(fmt::format("version {} → {}", state.version, kVersion));
  }
  return fmt::format("{}", fmt::join(changes, ", "));
}

bool keep_batch_size(const std::string& checkpoint, const Deck& then, Deck& deck) {
  const std::int64_t run = then.train_batch_size;
  if (!deck.derives_batch || run == deck.train_batch_size) return false;
  const std::int64_t micro = deck.train_micro_batch_size_per_gpu;
  const std::int64_t steps = deck.gradient_accumulation_steps;
  const std::int64_t dp = deck.train_batch_size / (micro * steps);
  const bool follows = deck.derives_accumulation && run % (micro * dp) == 0;
  TRM_REQUIRE(
      follows,
      "the run of {} has train_batch_size {}, but this start derives {}: {} a micro-batch × "
      "gradient_accumulation_steps {} × {} data-parallel ranks. Set train_batch_size: {} to "
      "keep the run's{}, or train_batch_size: {} to change it",
      checkpoint, run, deck.train_batch_size, micro, steps, dp, run,
      run % (micro * dp) == 0 ? ", without gradient_accumulation_steps"
                              : ", with another micro-batch or another number of ranks",
      deck.train_batch_size);
  deck.train_batch_size = run;
  deck.gradient_accumulation_steps = run / (micro * dp);
  if (deck.train_samples > 0) {
    deck.train_iters = iterations_of_samples(batch_ramp(deck), deck.train_samples);
  }
  return true;
}

void require_countable(const std::string& checkpoint, const RunState& state, const Deck& deck) {
  const std::int64_t most =
      std::numeric_limits<std::int64_t>::max() / deck.model.seq_length;  // samples
  const std::int64_t left = std::max<std::int64_t>(deck.train_iters - state.iteration, 0);
  TRM_REQUIRE(left <= (most - state.samples_consumed) / deck.train_batch_size,
              "the checkpoint {} counts {} samples, and {} more iterations would exceed what "
              "can be counted: its counts are damaged, or train_iters {} is too large",
              checkpoint, state.samples_consumed, left, deck.train_iters);
}

}  // namespace trireme
