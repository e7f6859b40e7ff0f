// SPDX-License-Identifier: Apache-2.0
// `trireme keys`, `trireme show` and `trireme validate`, which need neither MPI nor a device.
#include "decks.hpp"

#include <nlohmann/json.hpp>

#include "trireme/deck/graph_limits.hpp"
#include "trireme/deck/show.hpp"
#include "trireme/model/transformer.hpp"

#include "changes.hpp"

namespace trireme {

namespace {

void warn(const Deck& deck) {
  for (const std::string& w : deck.warnings) fmt::print(stderr, "warning: {}\n", w);
}

/// The fewest ranks that the deck can run on: where the deck gives three batch sizes, these
/// imply the ranks of dp.
int fewest_ranks(const Deck& deck) {
  const std::int64_t ranks = ranks_of(deck);
  TRM_REQUIRE(ranks <= 100'000'000, "the deck asks for {} ranks", ranks);
  return static_cast<int>(ranks);
}

nlohmann::ordered_json json_of(const std::string& yaml) {
  auto value = nlohmann::ordered_json::parse(yaml, nullptr, false);
  return value.is_discarded() ? nlohmann::ordered_json(yaml) : value;
}

}  // namespace

void print_keys(const KeysOptions& options) {
  const std::string text = options.markdown ? key_reference() : describe_keys(options.pattern);
  TRM_REQUIRE(!text.empty(), "no known key matches '{}'; `trireme keys` lists all keys",
              options.pattern);
  fmt::print("{}", text);
}

void show_deck(const DeckSource& source, const ShowOptions& options) {
  Deck deck = read_deck(source.files, source.overrides);
  if (options.ranks > 0) resolve(deck, options.ranks);
  warn(deck);
  if (!options.json) {
    for (const std::string& note : deck.notes) fmt::print("# {}\n", note);
    fmt::print("{}", to_yaml_with_sources(deck));
    return;
  }
  nlohmann::ordered_json settings;
  for (const ShownSetting& s : shown_settings(deck)) {
    settings[s.path] = {{"value", json_of(s.value)}, {"source", s.source}};
  }
  const nlohmann::ordered_json all{
      {"settings", settings}, {"warnings", deck.warnings}, {"notes", deck.notes}};
  fmt::print("{}\n", all.dump(2));
}

void validate_deck(const DeckSource& source, int ranks) {
  Deck deck = read_deck(source.files, source.overrides);
  const int count = ranks > 0 ? ranks : fewest_ranks(deck);
  resolve(deck, count);
  const MeshShape mesh = mesh_shape(deck, count);
  if (deck.cuda_graphs) check_graphs(deck, mesh);
  warn(deck);
  for (const std::string& note : deck.notes) fmt::print("{}\n", note);
  fmt::print("{}: valid on {} rank{} ({}): ", fmt::join(source.files, ", "), count,
             count == 1 ? "" : "s", mesh_text(mesh));
  if (deck.model.vocab_size > 0) {
    fmt::print("{:.2f} million parameters, ",
               static_cast<double>(count_parameters(deck.model)) * 1e-6);
  }
  const BatchRamp ramp = batch_ramp(deck);
  const std::string samples =
      ramp.grows() ? fmt::format("{} growing to {}", ramp.batch_after(0), deck.train_batch_size)
                   : fmt::format("{}", deck.train_batch_size);
  if (deck.model.task == Task::image_classification) {
    fmt::print("{} images a step\n", samples);
    return;
  }
  fmt::print("{} samples of {} tokens a step\n", samples, deck.model.seq_length);
}

}  // namespace trireme
