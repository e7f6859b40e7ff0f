// SPDX-License-Identifier: Apache-2.0
// Compares how runs began.
#include "run_beginning.hpp"

#include "trireme/core/error.hpp"

#include "resume.hpp"
#include "run_files.hpp"

namespace trireme {

namespace {

std::string text_of(const RunBeginning& began) {
  return fmt::format("{}{}", began.load.empty() ? "no load" : "load: " + began.load,
                     began.finetune ? " and finetune: true" : "");
}

}  // namespace

RunBeginning beginning_of(const CheckpointReader& reader) {
  if (reader.state().began) return *reader.state().began;
  const Deck deck = deck_of(reader);
  return {.load = deck.load, .finetune = deck.finetune};
}

bool require_same_beginning(const std::vector<std::string>& kept, const Deck& deck) {
  std::vector<std::string> reasons;
  const RunBeginning now{deck.load, deck.finetune};
  for (const std::string& checkpoint : kept) {
    RunBeginning then;
    try {
      then = beginning_of(CheckpointReader(checkpoint));
    } catch (const Error& e) {
      reasons.emplace_back(e.what());
      continue;
    }
    const bool same = !then.load.empty() &&
                      without_links(then.load) == without_links(deck.load) &&
                      then.finetune == deck.finetune;
    TRM_REQUIRE(
        same || deck.overwrite,
        "save: {} holds the checkpoint {} of a run that began with {}, but this run begins "
        "with {}. Name another save, set load: {}{} to resume that run, or set overwrite: "
        "true, "
        "which moves that run's files aside",
        deck.save, checkpoint, text_of(then), text_of(now), deck.save,
        deck.finetune ? " without finetune" : "");
    return same;
  }
  TRM_REQUIRE(
      deck.overwrite,
      "save: {} holds checkpoints, but none can be read: {}; name another folder, or set "
      "overwrite: true, which moves them aside",
      deck.save, fmt::join(reasons, "; "));
  return false;
}

}  // namespace trireme
