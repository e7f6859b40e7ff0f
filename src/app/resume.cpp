// SPDX-License-Identifier: Apache-2.0
// Chooses a checkpoint, and checks settings that a resumed run cannot change.
#include "resume.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/core/log.hpp"
#include "trireme/huggingface/model_folder.hpp"
#include "trireme/optim/schedule.hpp"

#include "changes.hpp"
#include "resume_optimizer.hpp"
#include "run_beginning.hpp"
#include "run_files.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

constexpr auto kModel = {"mlp_sizes",
                         "patch_size",
                         "image_size",
                         "num_channels",
                         "image_mean",
                         "image_std",
                         "num_layers",
                         "hidden_size",
                         "num_attention_heads",
                         "num_kv_heads",
                         "vocab_size",
                         "norm",
                         "intermediate_size",
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
                         "use_bias_in_mlp",
                         "use_bias_in_attn_linear",
                         "norm_placement",
                         "layernorm_1p",
                         "use_qk_layernorm",
                         "rotary_emb_local_base",
                         "rope_scaling.type",
                         "rope_scaling.factor",
                         "rope_scaling.original_max_position_embeddings",
                         "rope_scaling.low_freq_factor",
                         "rope_scaling.high_freq_factor",
                         "rope_scaling.beta_fast",
                         "rope_scaling.beta_slow",
                         "rope_scaling.attention_factor",
                         "sliding_window_width",
                         "sliding_window_pattern",
                         "sliding_window_first_layer",
                         "attention_scale",
                         "attention_logit_softcap",
                         "output_logit_softcap",
                         "embedding_scale",
                         "use_bias_in_qkv",
                         "use_bias_in_output",
                         "position_offset",
                         "type_vocab_size",
                         "embedding_norm",
                         "bidirectional_attention",
                         "output_transform",
                         "use_mup",
                         "mup_base.hidden_size",
                         "mup_base.num_attention_heads",
                         "mup_base.num_kv_heads",
                         "mup_base.kv_channels",
                         "mup_base.mlp_width",
                         "mup_attn_temp",
                         "mup_output_temp",
                         "mup_embedding_mult"};

/// Keys of the head, which a run with finetune may change.
constexpr auto kTask = {"task", "num_labels", "classifier_pooling", "classifier_pooler"};

void require_same(const std::string& checkpoint, const std::string& key, const Settings& then,
                  const Settings& now) {
  TRM_REQUIRE(same_value(key, then.at(key), now.at(key)),
              "the checkpoint {} was made with {} {}, but the deck's is {}: set {} to {} to "
              "resume, or leave load out to start anew",
              checkpoint, key, then.at(key), now.at(key), key, then.at(key));
}

std::string describe(const ScheduleConfig& s, const Settings& of) {
  if (s.deepspeed.type != DeepSpeedSchedule::Type::none) {
    std::string text = fmt::format("lr {}, scheduler {}", s.lr, of.at("scheduler.type"));
    for (const auto& [key, value] : of) {
      const std::string name = key.substr(key.rfind('.') + 1);
      if (key.starts_with("scheduler.params.") && reads_key(s.deepspeed.type, name)) {
        text += fmt::format(", {} {}", name, value);
      }
    }
    return text;
  }
  const std::string text = fmt::format("lr {}, min_lr {}, warmup {}, lr_decay_style {}", s.lr,
                                       s.min_lr, s.warmup, of.at("lr_decay_style"));
  if (s.lr_decay_samples == 0) {
    return text + fmt::format(", lr_decay_iters {}", s.lr_decay_iters);
  }
  return text + fmt::format(", lr_decay_samples {}, lr_warmup_samples {}", s.lr_decay_samples,
                            of.at("lr_warmup_samples"));
}

void resolve_schedule(const std::string& checkpoint, const Deck& made_with,
                      const Settings& then, Deck& deck, const Settings& now) {
  if (made_with.schedule == deck.schedule || deck.override_lr_scheduler) return;
  if (deck.use_checkpoint_lr_scheduler) {
    log::info("resume   with the checkpoint's schedule: {}",
              describe(made_with.schedule, then));
    deck.schedule = made_with.schedule;
    return;
  }
  log::warn(
      "the schedule was {} when the checkpoint {} was made, and is {} now; the deck's schedule "
      "is used. Confirm with override_lr_scheduler: true, or keep the checkpoint's schedule "
      "with use_checkpoint_lr_scheduler: true",
      describe(made_with.schedule, then), checkpoint, describe(deck.schedule, now));
}

/// Parameters that train anew have no state in the checkpoint.
void check_trained(const std::string& checkpoint, const Settings& then, const Settings& now) {
  for (const char* key : {"train_only", "freeze"}) {
    TRM_REQUIRE(
        same_value(key, then.at(key), now.at(key)),
        "the checkpoint {} was made with {} {}, but the deck's is {}. What trains now has "
        "no optimizer state there: set no_load_optim: true to go on with a new one, or "
        "finetune: true to start anew",
        checkpoint, key, then.at(key), now.at(key));
  }
}

/// Data are compared by what the files hold, so that equal files may have other names. A
/// checkpoint of an earlier version does not say what they held.
void warn_of_other_data(const std::string& checkpoint, const std::string& data_then,
                        const std::string& data_now, const Settings& then,
                        const Settings& now) {
  const auto warn = [&](std::string_view what, const std::string& was, const std::string& is) {
    log::warn(
        "{} was {} when the checkpoint {} was made and is {} now; the run goes on at the same "
        "sample number of other data",
        what, was, checkpoint, is);
  };
  const bool by_name = data_then.empty() || data_now.empty();
  if (!by_name && data_then != data_now) warn("the data", data_then, data_now);
  const std::set<std::string_view> names_of_files{"data_path", "train_data_paths",
                                                  "train_label_data_paths"};
  for (const char* key :
       {"data_path", "train_data_paths", "train_label_data_paths", "train_data_weights",
        "weight_by_num_documents", "weighted_sampler_alpha", "pack_impl", "allow_chopped",
        "eod_mask_loss", "fim_rate", "fim_spm_rate", "fim_tokens"}) {
    const bool names = names_of_files.contains(key);
    if (then.at(key) != now.at(key) && (by_name || !names)) {
      warn(key, then.at(key), now.at(key));
    }
  }
}

}  // namespace

Deck deck_of(const CheckpointReader& reader) {
  try {
    const RunState& state = reader.state();
    return state.format_version < 3 ? parse_deck_with_whole_widths(state.deck, "its deck")
                                    : parse_stored_deck(state.deck, "its deck");
  } catch (const Error& e) {
    throw Error(fmt::format(
        "the checkpoint {} was made by version {} with a deck that this version can't read: {}",
        reader.folder(), reader.state().version, e.what()));
  }
}

bool is_within(const std::string& path, const std::string& folder) {
  if (path.empty() || folder.empty()) return false;
  const fs::path inner = without_links(path);
  const fs::path outer = without_links(folder);
  return std::ranges::mismatch(outer, inner).in1 == outer.end();
}

LoadSource::LoadSource(const Deck& deck, std::string data)
    : folder_(deck.load), data_(std::move(data)) {
  if (folder_.empty()) return;
  const bool from_save = is_within(deck.load, deck.save);
  Candidates kept;
  if (!deck.save.empty()) kept = find_checkpoints(deck.save);
  TRM_REQUIRE(!deck.finetune || !from_save || kept.paths.empty(),
              "finetune: true with load: {} in save: {} would discard this run's iterations: "
              "leave finetune out to resume, or name another save",
              deck.load, deck.save);
  if (!from_save && !kept.paths.empty()) {
    began_earlier_ = require_same_beginning(kept.paths, deck);
    if (began_earlier_) folder_ = deck.save;
  }
  if (!began_earlier_ && huggingface::is_model_folder(folder_)) {
    TRM_REQUIRE(
        deck.finetune,
        "load: {} is a Hugging Face model, which has weights but no state of a run: set "
        "finetune: true",
        folder_);
    left_ = {folder_};
    return;
  }
  const bool whole_save =
      without_links(folder_) == without_links(deck.save);  // whatever its name is
  if (!began_earlier_ && !whole_save && is_checkpoint(folder_)) {
    left_ = {folder_};
    return;
  }
  Candidates found = began_earlier_ ? std::move(kept) : find_checkpoints(folder_);
  left_ = std::move(found.paths);
  const bool may_be_none = !deck.save.empty() && whole_save && !deck.finetune;
  TRM_REQUIRE(!left_.empty() || found.note.empty(),
              "{}: there is no checkpoint to resume from (key load), but there was one: {}; to "
              "start anew, remove {}/latest",
              folder_, found.note, folder_);
  TRM_REQUIRE(!left_.empty() || may_be_none,
              "there is no checkpoint in {} (key load); leave load out to start anew", folder_);
  if (!found.note.empty()) log::warn("{}", found.note);
}

std::optional<std::string> LoadSource::next(Deck& deck) {
  while (!left_.empty()) {
    const std::string first = left_.front();
    if (huggingface::is_model_folder(first)) {
      check_model_folder(first, deck);
      return first;
    }
    try {
      CheckpointReader(first).check_files();
    } catch (const Error& e) {
      require_damage(e);
      refuse(e.what());
      continue;
    }
    if (first == checked_) return first;
    Deck asked = deck;
    if (began_earlier_) asked.finetune = asked.no_load_optim = asked.no_load_rng = false;
    check_checkpoint(first, asked, data_);
    TRM_REQUIRE(checked_.empty() || asked.schedule == deck.schedule,
                "{}: the schedule was taken from {}, which is damaged; this checkpoint has "
                "another schedule. Remove {} and start again",
                first, checked_, checked_);
    deck.schedule = asked.schedule;
    deck.train_batch_size = asked.train_batch_size;
    deck.gradient_accumulation_steps = asked.gradient_accumulation_steps;
    deck.train_iters = asked.train_iters;
    checked_ = first;
    return first;
  }
  return std::nullopt;
}

void LoadSource::refuse(const std::string& reason) {
  refused_.push_back(reason);
  left_.erase(left_.begin());
  TRM_REQUIRE(!left_.empty(), "no checkpoint of {} can be loaded: {}; to start anew, {}",
              folder_, fmt::join(refused_, "; "),
              began_earlier_ ? "name another save" : "leave load out or name an empty folder");
  log::warn("{}; trying {} instead", reason, left_.front());
}

void require_same_adapters(const std::string& checkpoint, const Deck& made_with,
                           const Deck& deck) {
  const LoraConfig& then = made_with.model.lora;
  const LoraConfig& now = deck.model.lora;
  TRM_REQUIRE(
      !then.enabled() || now.enabled(),
      "the checkpoint {} has adapters of rank {}, and this deck has none. Set the checkpoint's "
      "lora keys, or merge the adapters into the weights: trireme convert {} OUT",
      checkpoint, then.rank, checkpoint);
  TRM_REQUIRE(then.enabled() || !now.enabled(),
              "the checkpoint {} has no adapters, and this deck has some of rank {}. Set "
              "finetune: true to put adapters beside its weights, or lora: null to use it as "
              "it is",
              checkpoint, now.rank);
  const Settings of_then = settings_of(made_with);
  const Settings of_now = settings_of(deck);
  for (const char* key : {"lora.rank", "lora.alpha", "lora.use_rslora", "lora.targets"}) {
    if (now.enabled()) require_same(checkpoint, key, of_then, of_now);
  }
}

void require_same_model(const std::string& checkpoint, const Deck& made_with,
                        const Deck& deck) {
  const Settings then = settings_of(made_with);
  const Settings now = settings_of(deck);
  const bool other_task = deck.finetune && made_with.model.task != deck.model.task;
  for (const char* key : kModel) {
    // Without an output matrix, the deck's use of that matrix has no meaning.
    const bool of_output = std::string_view(key).find("weight_tying") != std::string::npos ||
                           std::string_view(key).find("output") != std::string::npos;
    if (!other_task || !of_output) require_same(checkpoint, key, then, now);
  }
  for (const char* key : kTask) {
    if (!other_task) require_same(checkpoint, key, then, now);
  }
  if (made_with.model.head_dim() != deck.model.head_dim()) {
    require_same(checkpoint, "kv_channels", then, now);
  }
  if (deck.model.pos_emb == PositionEmbedding::learned) {
    require_same(checkpoint, "max_position_embeddings", then, now);
  }
}

void check_checkpoint(const std::string& checkpoint, Deck& deck, const std::string& data) {
  const CheckpointReader reader(checkpoint);
  const Deck made_with = deck_of(reader);
  const Settings then = settings_of(made_with);
  const Settings now = settings_of(deck);
  require_same_model(checkpoint, made_with, deck);
  if (!deck.finetune || made_with.model.lora.enabled()) {
    require_same_adapters(checkpoint, made_with, deck);
  }
  if (deck.finetune) return;
  if (!deck.no_load_optim) check_trained(checkpoint, then, now);
  require_same(checkpoint, "seq_length", then, now);
  TRM_REQUIRE(!made_with.split.empty(),
              "{} has weights but no state of a run: set finetune: true to start from them",
              checkpoint);
  if (split_fractions(made_with.split) != split_fractions(deck.split)) {
    require_same(checkpoint, "split", then, now);
  }
  if (!deck.no_load_rng) require_same(checkpoint, "seed", then, now);
  warn_of_other_data(checkpoint, reader.state().data, data, then, now);
  resolve_schedule(checkpoint, made_with, then, deck, now);
  check_optimizer(reader, made_with, deck);
  keep_batch_size(checkpoint, made_with, deck);
  require_countable(checkpoint, reader.state(), deck);
}

void require_damage(const Error& reason) {
  if (reason.kind() != ErrorKind::unavailable && reason.kind() != ErrorKind::disk_full) return;
  Error trouble = reason.saying(
      fmt::format("{}: {}; that is no damage, so no older checkpoint is used: start again once "
                  "this is mended",
                  reason.what(), std::strerror(reason.system_error())));
  if (reason.everywhere()) trouble.set_everywhere();
  throw trouble;
}

}  // namespace trireme
