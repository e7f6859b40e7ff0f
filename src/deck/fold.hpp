// SPDX-License-Identifier: Apache-2.0
// Converts between a deck's keys and its settings.
#pragma once

#include <map>
#include <set>
#include <string>

#include "trireme/deck/keys.hpp"
#include "trireme/deck/tree.hpp"

#include "faults.hpp"

namespace trireme::deck {

/// What the decks say about one key.
struct Setting {
  std::string spelled;  ///< the path as the deck spells it, perhaps an alias
  Place place;          ///< where the key stands
  Value value;
};

/// Settings by the keys' own paths.
using Settings = std::map<std::string, Setting>;

/// The setting of `path`; null pointer where the decks leave `path` out or say null.
[[nodiscard]] const Setting* given(const Settings& settings, const std::string& path);

/// Checks single values that a range cannot describe, and keys that exclude each other.
void check_words(const Settings& settings, const Draft& draft, Faults& faults);
/// Checks that `attention_config` names available kinds, and covers the layers.
void check_attention(const Settings& settings, const Draft& draft, Faults& faults);

/// Converts the draft's keys to settings. Omitted keys get the defaults that depend on other
/// keys. Throws Error where a size comes out of range.
void fold(const Settings& settings, Draft& draft, Deck& deck);

/// Whether the key is one of the model's.
[[nodiscard]] bool is_model_key(const Key& key);
/// Makes the model of a deck with mlp_sizes: perceptron_config(). Throws Error that names a key
/// which only a transformer has.
void fold_perceptron(const Settings& settings, DeckSettings& deck);
/// Throws Error that names what a perceptron's deck asks for and only a transformer has.
void check_perceptron(const DeckSettings& deck);

/// Completes the model of a deck with patch_size. Throws Error that names a key which has no
/// meaning there, or which needs patch_size.
void fold_vision(const Settings& settings, DeckSettings& deck);
/// Throws Error that names what a model of images or of texts does not have.
void check_vision(const DeckSettings& deck);

/// Throws Error that names what a deck asks for and its task lacks.
void check_task(const DeckSettings& deck);
/// Refuses to predict tokens that attention sees, unless the deck names this task itself.
void check_task_word(const Settings& settings, const DeckSettings& deck);
/// Adds a warning for each key of another task.
void warn_of_other_tasks(Deck& deck);

/// Adds a warning for each setting of a feature that is switched off.
void warn_of_idle(const Settings& settings, const Draft& draft, Deck& deck);

/// The schedule's highest learning rate; for LRRangeTest the first.
[[nodiscard]] double highest_rate(const ScheduleConfig& schedule);

/// Sets the defaults of a DeepSpeed file that no other deck's optimizer accompanies.
void use_deepspeed_defaults(Draft& draft);
/// Says which of these defaults hold, because `file` alone speaks of the optimizer.
void note_deepspeed_defaults(const std::string& file, Deck& deck);
/// Fills in DeepSpeed's schedule. `automatic` names the keys that decks leave to "auto".
void fold_schedule(const std::set<std::string>& automatic, const Settings& settings,
                   const Draft& draft, Deck& deck, Faults& faults);

/// Sets the train_iters that train_samples ask for. Throws Error if train_iters is another one.
void resolve_length(Deck& deck);
/// Throws Error if DeepSpeed's OneCycle reaches a momentum that is none.
void check_schedule(const Deck& deck);

/// Fills in omitted keys that depend on others: num_kv_heads, max_position_embeddings,
/// lr_decay_iters, lr_decay_samples, and the steps of DeepSpeed's schedule.
void fill_open(DeckSettings& settings);

/// Throws Error that names keys of a model that contradict each other.
void check_model(const ModelConfig& model);

/// Sets deck.types, loss_scale, recompute and zero from the draft's keys. Collects keys that
/// contradict each other, and warns of keys without effect.
void fold_memory(const Settings& settings, const Draft& draft, Deck& deck, Faults& faults);
/// Sets deck.zero.offload from the draft's keys, and what follows from it. Collects keys that
/// contradict each other, and warns of keys without effect.
void fold_offload(const Settings& settings, const Draft& draft, Deck& deck, Faults& faults);
/// Throws Error that names keys which an optimizer that compresses does not go with.
void check_compressed_optimizer(const Deck& deck);
/// Turns the curriculum on where either of DeepSpeed's spellings does, and collects what its
/// schedule lacks.
void fold_growth(const Settings& settings, const Draft& draft, Deck& deck, Faults& faults);
/// Throws Error that names keys which don't let batches, sequences or layers change.
void check_growth(Deck& deck);
/// The inverse of fold_memory(): the keys that give `settings`.
[[nodiscard]] MemoryWords memory_words(const DeckSettings& settings);

}  // namespace trireme::deck
