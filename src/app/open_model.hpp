// SPDX-License-Identifier: Apache-2.0
// Opens a trained model for use, by whatever names one: a deck, a run, a checkpoint, a
// Hugging Face folder.
#pragma once

#include <memory>
#include <string>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/comm/communicator.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/deck/load.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

struct OpenedModel {
  Deck deck;                              ///< resolved for these ranks
  std::unique_ptr<WeightSource> weights;  ///< this rank's own
  std::unique_ptr<WeightSource> under;    ///< what `weights` may read from
  std::unique_ptr<Tokenizer> tokenizer;   ///< null if none is known
  std::string folder;                     ///< where the weights are
};

/// Opens the model of decks, or the one named by a folder:
///   decks       the checkpoint in `load`, or else in `save`; the deck's model must be its
///   model a checkpoint's or a run's folder
///               the checkpoint, or the latest one, with the deck that made it. Each rank holds
///               a whole replica, unless overrides set model_parallel_size or
///               pipe_parallel_size
///   Hugging Face's folder
///               its weights, with the deck that `trireme deck` prints
/// Overrides are laid over the deck. The tokenizer is the checkpoint's, unless overrides
/// name one, or else that of the deck or its data. With `averages`, the weights are their
/// moving average, which the checkpoint must hold. Throws Error on all ranks. Collective.
[[nodiscard]] OpenedModel open_model(const DeckSource& source, Communicator& world,
                                     bool averages = false);

/// The tokenizer. Throws Error that says what to set if none is known.
[[nodiscard]] const Tokenizer& require_tokenizer(const OpenedModel& model);

}  // namespace trireme
