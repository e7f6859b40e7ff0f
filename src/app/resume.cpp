// SPDX-License-Identifier: Apache-2.0
// The choice among checkpoints, and what a run cannot change on the way.
#include "resume.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/core/log.hpp"

namespace trireme {

namespace {

using Settings = std::map<std::string, std::string>;

/// The top-level settings of a deck's text.
Settings settings(const std::string& yaml) {
  Settings values;
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(": ");
    if (colon != std::string::npos && line.front() != ' ') {
      values[line.substr(0, colon)] = line.substr(colon + 2);
    }
  }
  return values;
}

constexpr auto kModel = {"num_layers",          "hidden_size",
                         "num_attention_heads", "num_kv_heads",
                         "vocab_size",          "norm",
                         "intermediate_size",   "layernorm_epsilon",
                         "rms_norm_epsilon",    "pos_emb",
                         "rotary_pct",          "rotary_emb_base",
                         "activation",          "bias_gelu_fusion",
                         "gpt_j_residual",      "gpt_j_tied",
                         "no_weight_tying",     "use_bias_in_norms",
                         "use_bias_in_mlp",     "use_bias_in_attn_linear"};

void require_same(const std::string& checkpoint, const std::string& key, const Settings& then,
                  const Settings& now) {
  const auto value = [&](const Settings& of) {
    const auto at = of.find(key);
    return at == of.end() ? std::string("null") : at->second;
  };
  TRM_REQUIRE(value(then) == value(now),
              "the checkpoint {} was made with {} {}, but the deck's is {}: set {} to {} to go "
              "on, or leave load out to start afresh",
              checkpoint, key, value(then), value(now), key, value(then));
}

std::string describe(const ScheduleConfig& s, const Settings& of) {
  return fmt::format("lr {}, min_lr {}, warmup {}, lr_decay_style {}, lr_decay_iters {}", s.lr,
                     s.min_lr, s.warmup, of.at("lr_decay_style"), s.lr_decay_iters);
}

void settle_schedule(const std::string& checkpoint, const Deck& made_with, const Settings& then,
                     Deck& deck, const Settings& now) {
  if (made_with.schedule == deck.schedule || deck.override_lr_scheduler) return;
  if (deck.use_checkpoint_lr_scheduler) {
    log::info("resume   with the checkpoint's schedule: {}",
              describe(made_with.schedule, then));
    deck.schedule = made_with.schedule;
    return;
  }
  log::warn(
      "the schedule was {} when the checkpoint {} was made and is {} now; the run goes on with "
      "the deck's (override_lr_scheduler: true says that this is meant, "
      "use_checkpoint_lr_scheduler: true takes the checkpoint's)",
      describe(made_with.schedule, then), checkpoint, describe(deck.schedule, now));
}

/// The state of another optimizer, or none, is of no use.
void check_optimizer(const CheckpointReader& reader, const Deck& made_with,
                     const Settings& then, const Deck& deck) {
  if (deck.no_load_optim) return;
  const auto names = reader.names();
  const bool kept = std::ranges::any_of(
      names, [](const std::string& n) { return n.starts_with("optimizer/"); });
  const bool needed =
      deck.optimizer.kind == OptimizerKind::adamw || deck.optimizer.momentum > 0;
  TRM_REQUIRE(kept || !needed,
              "the checkpoint {} holds no optimizer state{}: set no_load_optim: true to start "
              "the optimizer afresh",
              reader.folder(),
              then.contains("no_save_optim") && then.at("no_save_optim") == "true"
                  ? " (it was made with no_save_optim)"
                  : "");
  TRM_REQUIRE(made_with.optimizer.kind == deck.optimizer.kind,
              "the checkpoint {} was made with another optimizer.type than the deck's: set it "
              "back, or set no_load_optim: true to start the optimizer afresh",
              reader.folder());
}

}  // namespace

LoadSource::LoadSource(const Deck& deck) : load_(deck.load) {
  if (load_.empty()) return;
  std::error_code code;
  if (checkpoint_iteration(load_) && std::filesystem::is_directory(load_, code)) {
    left_ = {load_};
    return;
  }
  Candidates found = find_checkpoints(load_);
  left_ = std::move(found.paths);
  TRM_REQUIRE(!left_.empty() || found.note.empty(),
              "{}: there is no checkpoint to go on from (key load), but there was one: {}; to "
              "start afresh, remove {}/latest",
              load_, found.note, load_);
  TRM_REQUIRE(!left_.empty() || load_ == deck.save,
              "there is no checkpoint in {} (key load); leave load out to start afresh", load_);
  if (!found.note.empty()) log::warn("{}", found.note);
}

std::optional<std::string> LoadSource::next() {
  while (!left_.empty()) {
    try {
      CheckpointReader(left_.front()).check_files();
      return left_.front();
    } catch (const Error& e) {
      refuse(e.what());
    }
  }
  return std::nullopt;
}

void LoadSource::refuse(const std::string& reason) {
  refused_.push_back(reason);
  left_.erase(left_.begin());
  TRM_REQUIRE(!left_.empty(),
              "no checkpoint of {} can be loaded: {}; to start afresh, leave load out or name "
              "an empty folder",
              load_, fmt::join(refused_, "; "));
  log::warn("{}; trying {} instead", reason, left_.front());
}

void check_checkpoint(const std::string& checkpoint, Deck& deck) {
  const CheckpointReader reader(checkpoint);
  const Settings then = settings(reader.state().deck);
  const Settings now = settings(to_yaml(deck));
  for (const char* key : kModel) require_same(checkpoint, key, then, now);
  if (deck.model.pos_emb == PositionEmbedding::learned) {
    require_same(checkpoint, "max_position_embeddings", then, now);
  }
  if (deck.finetune) return;
  for (const char* key : {"seq_length", "split"}) require_same(checkpoint, key, then, now);
  if (!deck.no_load_rng) require_same(checkpoint, "seed", then, now);
  for (const char* key : {"data_path", "train_data_paths", "train_data_weights"}) {
    if (then.at(key) == now.at(key)) continue;
    log::warn(
        "{} was {} when the checkpoint {} was made and is {} now; the run goes on at the same "
        "sample number of other files",
        key, then.at(key), checkpoint, now.at(key));
  }
  const Deck made_with = parse_deck(reader.state().deck, checkpoint + "'s deck");
  settle_schedule(checkpoint, made_with, then, deck, now);
  check_optimizer(reader, made_with, then, deck);
}

}  // namespace trireme
