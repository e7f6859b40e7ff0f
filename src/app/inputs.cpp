// SPDX-License-Identifier: Apache-2.0
// Checks the inputs of a run before the run starts.
#include "inputs.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"

#include "data_identity.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code code;
  return fs::exists(path, code);
}

/// PREFIX if PREFIX.bin and PREFIX.idx exist and the path names them; else empty.
std::string megatron_prefix(const std::string& path) {
  std::string prefix = path;
  if (path.ends_with(".bin") || path.ends_with(".idx")) {
    prefix.resize(path.size() - 4);
  } else if (exists(path)) {
    return {};
  }
  return exists(prefix + ".bin") && exists(prefix + ".idx") ? prefix : std::string();
}

std::vector<std::string> all_paths(const Deck& deck) {
  std::vector<std::string> paths = deck.data_path;
  for (const auto* list :
       {&deck.train_data_paths, &deck.valid_data_paths, &deck.test_data_paths}) {
    paths.insert(paths.end(), list->begin(), list->end());
  }
  return paths;
}

/// What the part reads; without paths if the deck names none.
SamplesOptions options_for(const Deck& deck, Part part, DocumentCheck check) {
  const auto pick = [&](const auto& train, const auto& valid, const auto& test) {
    return part == Part::train ? train : part == Part::valid ? valid : test;
  };
  SamplesOptions options;
  options.part = part;
  options.check = check;
  options.seq_length = deck.model.seq_length;
  options.seed = deck.seed;
  options.shuffle = part == Part::train;
  options.at_least = deck.train_batch_size;
  if (!deck.data_path.empty()) {
    options.paths = deck.data_path;
    options.split = deck.split.empty() ? kDefaultSplit : deck.split;
    if (split_fractions(options.split)[static_cast<std::size_t>(part)] == 0) {
      options.paths.clear();
    }
  } else {
    options.paths = pick(deck.train_data_paths, deck.valid_data_paths, deck.test_data_paths);
    options.weights =
        pick(deck.train_data_weights, deck.valid_data_weights, deck.test_data_weights);
  }
  return options;
}

/// Chooses the split of a deck that has none. Parts of the default split with less than a batch
/// of data are left out, and the part before takes their share.
void choose_split(Deck& deck) {
  if (!deck.split.empty()) return;
  deck.split = kDefaultSplit;
  if (deck.data_path.empty()) return;
  auto shares = split_numbers(deck.split);
  for (const Part part : {Part::test, Part::valid}) {
    const SamplesOptions options = options_for(deck, part, DocumentCheck::none);
    if (count_samples(options) >= options.at_least) continue;
    log::warn(
        "the default split \"{}\" has less than a batch of {} data, so the run has no {} part: "
        "{}",
        kDefaultSplit, name_of(part), name_of(part), explain_split(options));
    const auto p = static_cast<std::size_t>(part);
    shares[p - 1] += std::exchange(shares[p], 0);
    deck.split = fmt::format("{}, {}, {}", shares[0], shares[1], shares[2]);
  }
}

}  // namespace

std::optional<Samples> open_samples(const Deck& deck, Part part, DocumentCheck check) {
  const SamplesOptions options = options_for(deck, part, check);
  if (options.paths.empty()) return std::nullopt;
  try {
    for (const std::string& path : options.paths) {
      const std::string prefix = megatron_prefix(path);
      TRM_REQUIRE(
          prefix.empty(),
          "{}: {}.bin and {}.idx are Megatron's indexed data, which this version doesn't "
          "read; make a token file from the text by `trireme prepare`",
          path, prefix, prefix);
    }
    return std::optional<Samples>(std::in_place, options);
  } catch (const Error& e) {
    const std::string key = deck.data_path.empty() ? fmt::format("{}_data_paths", name_of(part))
                                                   : std::string("data_path");
    throw Error(fmt::format("{} (key {})", e.what(), key));
  }
}

bool has_data(const Deck& deck) {
  return std::ranges::any_of(all_paths(deck), [](const std::string& path) {
    return exists(path) || !megatron_prefix(path).empty();
  });
}

std::string check_training_data(Deck& deck, DocumentCheck check) {
  const auto samples = open_samples(deck, Part::train, check);
  TRM_REQUIRE(samples,
              "the deck names no training data: set data_path or train_data_paths to "
              "files made by `trireme prepare`");
  const auto& paths = deck.data_path.empty() ? deck.train_data_paths : deck.data_path;
  for (std::size_t i = 0; log::is_verbose() && i < paths.size(); ++i) {
    log::info("data     {}: {} tokens in {} documents", paths[i],
              grouped(samples->file(i).tokens()), grouped(samples->file(i).documents()));
  }
  const std::int64_t vocabulary = samples->vocab_size();
  TRM_REQUIRE(deck.model.vocab_size == 0 || deck.model.vocab_size == vocabulary,
              "vocab_size is {} in the deck and {} in the data; leave it out of the deck",
              deck.model.vocab_size, vocabulary);
  deck.model.vocab_size = vocabulary;
  choose_split(deck);
  std::string identity;
  add_identity(identity, deck.data_path.empty() ? "train" : "all", *samples);
  return identity;
}

std::string check_data(Deck& deck, DocumentCheck check) {
  std::string identity = check_training_data(deck, check);
  for (const Part part : {Part::valid, Part::test}) {
    if (deck.eval_iters == 0) break;
    // With data_path, all parts come from files that were checked above.
    const auto other =
        open_samples(deck, part, deck.data_path.empty() ? check : DocumentCheck::none);
    TRM_REQUIRE(!other || other->vocab_size() == deck.model.vocab_size,
                "the training data's vocabulary is {}, but that of the {} data is {}",
                deck.model.vocab_size, name_of(part), other->vocab_size());
  }
  return identity;
}

void check_inputs(Deck& deck, RunStart& start) {
  start.data = check_data(deck, DocumentCheck::all);
  start.claim.lock_existing(deck);
  start.load = LoadSource(deck, start.data);
  start.claim.check(deck, start.load);
  (void)start.load.next(deck);
  start.claim.make_ready(deck, start.load);
}

}  // namespace trireme
