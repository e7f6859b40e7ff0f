// SPDX-License-Identifier: Apache-2.0
// Sorts faults by kind, deck and line, and throws them as one Error.
#include "faults.hpp"

#include <algorithm>
#include <tuple>

namespace trireme::deck {

namespace {

constexpr std::size_t kMostLines = 200;  // in one message

}  // namespace

void Faults::add(Kind kind, const Place& place, std::string_view text) {
  add_whole(kind, place, fmt::format("{}: {}", place.str(), text));
}

void Faults::add(Kind kind, std::string text) { add_whole(kind, {}, std::move(text)); }

void Faults::add_whole(Kind kind, const Place& place, std::string line) {
  if (lines_.insert(line).second) faults_.push_back({kind, place, std::move(line)});
}

void Faults::raise(const std::vector<std::string>& sources) const {
  if (faults_.empty()) return;
  const auto order = [&](const Fault& f) {
    return std::tuple(f.kind, std::ranges::find(sources, f.place.source) - sources.begin(),
                      f.place.line, f.place.column);
  };
  std::vector<Fault> sorted = faults_;
  std::ranges::stable_sort(sorted, {}, order);
  if (sorted.size() == 1) throw Error(sorted.front().line);
  std::string text = fmt::format("{} faults in the decks:", sorted.size());
  for (std::size_t i = 0; i < sorted.size() && i < kMostLines; ++i) {
    text += "\n  " + sorted[i].line;
  }
  if (sorted.size() > kMostLines) {
    text += fmt::format("\n  and {} more", sorted.size() - kMostLines);
  }
  throw Error(text);
}

}  // namespace trireme::deck
