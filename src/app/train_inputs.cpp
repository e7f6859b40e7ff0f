// SPDX-License-Identifier: Apache-2.0
// Inputs of a run, looked at before it starts.
#include "train_inputs.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "trireme/checkpoint/store.hpp"
#include "trireme/core/log.hpp"

namespace trireme {

namespace {

/// The top-level settings of a deck's text.
std::map<std::string, std::string> settings(const std::string& yaml) {
  std::map<std::string, std::string> values;
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(": ");
    if (colon != std::string::npos && line.front() != ' ') {
      values[line.substr(0, colon)] = line.substr(colon + 2);
    }
  }
  return values;
}

/// What a run cannot change on the way and remain the same run: the model, and the order of
/// data and the dropout, which are drawn from the seed. Meshes, batch sizes and rates may
/// change.
void check_same_run(const RunState& state, const Deck& deck) {
  static const std::vector<std::string> fixed = {"num_layers",
                                                 "hidden_size",
                                                 "num_attention_heads",
                                                 "num_kv_heads",
                                                 "seq_length",
                                                 "vocab_size",
                                                 "intermediate_size",
                                                 "norm",
                                                 "layernorm_epsilon",
                                                 "rms_norm_epsilon",
                                                 "pos_emb",
                                                 "rotary_pct",
                                                 "rotary_emb_base",
                                                 "activation",
                                                 "bias_gelu_fusion",
                                                 "gpt_j_residual",
                                                 "gpt_j_tied",
                                                 "no_weight_tying",
                                                 "use_bias_in_norms",
                                                 "use_bias_in_attn_linear",
                                                 "use_bias_in_mlp",
                                                 "seed",
                                                 "split"};
  auto then = settings(state.deck);
  auto now = settings(to_yaml(deck));
  for (const std::string& key : fixed) {
    TRM_REQUIRE(
        then[key] == now[key],
        "the checkpoint in {} was made with {} {}, but the deck's is {}: set {} to {} to go "
        "on, or leave load out to start afresh",
        deck.load, key, then[key], now[key], key, then[key]);
  }
  for (const char* key : {"data_path", "train_data_paths", "train_data_weights"}) {
    if (then[key] == now[key]) continue;
    log::warn(
        "{} was {} when the checkpoint in {} was made and is {} now; the run goes on at the "
        "same sample number of other files",
        key, then[key], deck.load, now[key]);
  }
}

/// Makes the folder, and proves that files can be made in it.
void check_save(const Deck& deck) {
  if (deck.save.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(deck.save, error);
  std::string reason = error.message();
  if (!error) {
    const std::string probe = deck.save + "/.writable";
    errno = 0;
    if (std::ofstream(probe).good()) {
      std::filesystem::remove(probe, error);
      return;
    }
    reason = std::strerror(errno);
  }
  throw Error(fmt::format("cannot write to the folder {} (key save): {}", deck.save, reason));
}

}  // namespace

std::optional<Samples> open_samples(const Deck& deck, Part part, DocumentCheck check) {
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
    options.split = deck.split;
    if (split_fractions(deck.split)[static_cast<std::size_t>(part)] == 0) return std::nullopt;
  } else {
    options.paths = pick(deck.train_data_paths, deck.valid_data_paths, deck.test_data_paths);
    options.weights =
        pick(deck.train_data_weights, deck.valid_data_weights, deck.test_data_weights);
    if (options.paths.empty()) return std::nullopt;
  }
  try {
    return std::optional<Samples>(std::in_place, options);
  } catch (const Error& e) {
    const std::string key = deck.data_path.empty() ? fmt::format("{}_data_paths", name_of(part))
                                                   : std::string("data_path");
    throw Error(fmt::format("{} (key {})", e.what(), key));
  }
}

std::string checkpoint_to_load(const Deck& deck) {
  if (deck.load.empty()) return {};
  const auto latest = find_latest(deck.load);
  TRM_REQUIRE(
      latest || deck.load == deck.save,
      "there is no checkpoint in {} (key load): it has no file `latest`; leave load out "
      "to start afresh",
      deck.load);
  return latest.value_or("");
}

void check_inputs(Deck& deck) {
  const auto samples = open_samples(deck, Part::train, DocumentCheck::all);
  TRM_REQUIRE(samples,
              "the deck names no training data: set data_path or train_data_paths to "
              "files made by `trireme prepare`");
  const std::int64_t vocabulary = samples->vocab_size();
  TRM_REQUIRE(deck.model.vocab_size == 0 || deck.model.vocab_size == vocabulary,
              "vocab_size is {} in the deck and {} in the data; leave it out of the deck",
              deck.model.vocab_size, vocabulary);
  deck.model.vocab_size = vocabulary;
  for (const Part part : {Part::valid, Part::test}) {
    if (deck.eval_iters == 0) break;
    // With data_path, all parts are of the files that were looked at above.
    const auto other = open_samples(
        deck, part, deck.data_path.empty() ? DocumentCheck::all : DocumentCheck::none);
    TRM_REQUIRE(!other || other->vocab_size() == vocabulary,
                "the training data's vocabulary is {}, that of the {} data {}", vocabulary,
                name_of(part), other->vocab_size());
  }
  const std::string checkpoint = checkpoint_to_load(deck);
  if (!checkpoint.empty()) check_same_run(CheckpointReader(checkpoint).state(), deck);
  check_save(deck);
}

}  // namespace trireme
