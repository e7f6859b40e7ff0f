// SPDX-License-Identifier: Apache-2.0
// Loads the deck, as every command with a deck does first.
#include "trireme/deck/load.hpp"

#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/model/transformer.hpp"

namespace trireme {

Deck load_deck(const DeckSource& source, Communicator& world,
               const std::function<void(Deck&)>& check) {
  std::string text;
  if (world.rank() == 0) {
    Deck deck = read_deck(source.files, source.overrides);
    resolve(deck, world.size());
    if (deck.log_format == Deck::LogFormat::json) log::use_json();
    for (const std::string& w : deck.warnings) log::warn("{}", w);
    for (const std::string& n : deck.notes) log::info("deck     {}", n);
    check(deck);
    text = to_yaml(deck);
  }
  Deck deck = parse_deck(world.broadcast_text(text, 0), "the resolved deck");
  resolve(deck, world.size());
  if (deck.log_format == Deck::LogFormat::json) log::use_json();
  return deck;
}

void print_mesh(const Deck& deck, const MeshShape& mesh) {
  log::info("mesh     {}{}{}", mesh_text(mesh),
            deck.sequence_parallel && mesh.tp > 1 ? ", sequence parallel" : "",
            deck.virtual_pipeline_chunks > 1
                ? fmt::format(", {} chunks a stage", deck.virtual_pipeline_chunks)
                : "");
}

void print_model(const Deck& deck, const MeshShape& mesh) {
  const ModelConfig& m = deck.model;
  log::info("model    {} layers, hidden {}, {} heads, vocabulary {}: {} parameters",
            m.num_layers, m.hidden_size, m.num_attention_heads, m.vocab_size,
            count_text(count_parameters(m)));
  log::info("batch    {} samples of {} tokens: {} a micro-batch × {} × dp {}",
            deck.train_batch_size, m.seq_length, deck.train_micro_batch_size_per_gpu,
            deck.gradient_accumulation_steps, mesh.dp);
}

}  // namespace trireme
