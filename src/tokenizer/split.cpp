// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizer Split.
#include "split.hpp"

#include <algorithm>
#include <array>

#include "trireme/core/error.hpp"

#include "fields.hpp"
#include "utf8.hpp"

namespace trireme {

namespace {

SplitBehavior behavior_from(const std::string& name, const std::string& where) {
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  TRM_REQUIRE(name == "Contiguous", "{}: the behavior \"{}\" is not known", where, name);
  return SplitBehavior::contiguous;
}

/// Joins stretches as the behavior asks, in the order from left to right.
void join_forwards(std::vector<Stretch>& stretches, SplitBehavior behavior) {
  std::size_t n = 0;
  bool last_found = false;
  for (const Stretch& next : stretches) {
    const bool joins = behavior == SplitBehavior::contiguous ? next.found == last_found
                                                             : next.found && !last_found;
    last_found = next.found;
    if (joins && n > 0) {
      stretches[n - 1].end = next.end;
    } else {
      stretches[n++] = next;
    }
  }
  stretches.resize(n);
}

/// From right to left: what is found goes with what stands behind it.
void join_backwards(std::vector<Stretch>& stretches) {
  std::vector<Stretch> joined;
  bool last_found = false;
  for (std::size_t i = stretches.size(); i-- > 0;) {
    const bool joins = stretches[i].found && !last_found;
    last_found = stretches[i].found;
    if (joins && !joined.empty()) {
      joined.back().begin = stretches[i].begin;
    } else {
      joined.push_back(stretches[i]);
    }
  }
  std::reverse(joined.begin(), joined.end());
  stretches = std::move(joined);
}

}  // namespace

Split::Split(std::string_view expression, Flavour flavour, const std::string& where)
    : expression_(expression),
      behavior_(flavour == Flavour::rust ? SplitBehavior::removed : SplitBehavior::isolated),
      invert_(flavour == Flavour::rust),
      pattern_(std::make_unique<Pattern>(expression_, flavour, where)),
      scanner_(make_scanner(expression, flavour)) {}

Split::Split(const nlohmann::json& spec, const std::string& where) {
  require_fields(spec, {"type", "pattern", "behavior", "invert"}, where);
  const nlohmann::json& pattern = field(spec, "pattern", where);
  require_fields(pattern, {"Regex", "String"}, where + ": pattern");
  behavior_ = behavior_from(text_field(spec, "behavior", where), where);
  invert_ = flag(spec, "invert", false, where);
  if (pattern.contains("Regex")) {
    expression_ = text_field(pattern, "Regex", where);
    scanner_ = make_scanner(expression_, Flavour::oniguruma);
    pattern_ = std::make_unique<Pattern>(expression_, Flavour::oniguruma, where);
  } else {
    expression_ = text_field(pattern, "String", where);
  }
}

bool Split::is_scan() const {
  // A published pattern finds all of a text, so that its words stay whatever the order.
  return scanner_ != nullptr && (behavior_ == SplitBehavior::isolated ||
                                 (behavior_ == SplitBehavior::removed && invert_));
}

void Split::find(std::string_view text, std::vector<Stretch>& stretches) const {
  stretches.clear();
  std::size_t done = 0;
  const auto note = [&](std::size_t begin, std::size_t end) {
    if (done < begin) stretches.push_back({done, begin, invert_});
    stretches.push_back({begin, end, !invert_});
    done = end;
  };
  if (pattern_ == nullptr) {
    for (std::size_t at = 0; !expression_.empty();) {
      at = text.find(expression_, at);
      if (at == std::string_view::npos) break;
      note(at, at + expression_.size());
      at = done;
    }
  } else {
    std::size_t from = 0;
    std::optional<std::size_t> last_end;
    while (from <= text.size()) {
      const std::optional<Match> match = pattern_->find(text, from);
      if (!match) break;
      from = match->end;
      const bool is_empty = match->begin == match->end;
      // An empty match right behind the last match does not count.
      if (is_empty && last_end && *last_end == match->end) {
        if (from == text.size()) break;
        from += code_point_at(text, from).bytes;
        continue;
      }
      last_end = match->end;
      note(match->begin, match->end);
    }
  }
  if (done < text.size()) stretches.push_back({done, text.size(), invert_});
}

void Split::split(Pieces& pieces) const {
  std::vector<std::size_t> ends;
  if (is_scan()) {
    std::array<std::size_t, 256> some;
    for (std::size_t i = 0; i < pieces.ends.size(); ++i) {
      const std::size_t begin = pieces.begin_of(i);
      const std::string_view piece = pieces.piece(i);
      for (std::size_t at = 0; at < piece.size();) {
        const std::size_t n = scanner_->scan(piece, at, some);
        for (std::size_t k = 0; k < n; ++k) ends.push_back(begin + some[k]);
        at = some[n - 1];
      }
    }
    pieces.ends = std::move(ends);
    return;
  }
  std::string text;
  std::vector<Stretch> stretches;
  for (std::size_t i = 0; i < pieces.ends.size(); ++i) {
    const std::string_view piece = pieces.piece(i);
    find(piece, stretches);
    if (behavior_ == SplitBehavior::merged_with_next) {
      join_backwards(stretches);
    } else if (behavior_ != SplitBehavior::removed && behavior_ != SplitBehavior::isolated) {
      join_forwards(stretches, behavior_);
    }
    for (const Stretch& stretch : stretches) {
      if (stretch.found && behavior_ == SplitBehavior::removed) continue;
      if (stretch.begin == stretch.end) continue;
      text += piece.substr(stretch.begin, stretch.end - stretch.begin);
      ends.push_back(text.size());
    }
  }
  pieces.text = std::move(text);
  pieces.ends = std::move(ends);
}

bool Split::separates(char32_t before, char32_t after) const {
  return is_scan() && scanner_->separates(before, after);
}

}  // namespace trireme
