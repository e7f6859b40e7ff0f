// SPDX-License-Identifier: Apache-2.0
// RunSplitter: a pre-tokenizer that splits where the class of characters changes. Its own
// characters, such as punctuation, are pieces by themselves; dropped ones, such as white space,
// are in no piece.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "../pre_tokenizer.hpp"
#include "../utf8.hpp"

namespace trireme {

/// What becomes of a character. Values from `run` on are classes whose runs are pieces.
enum class RunClass : std::uint8_t { dropped, alone, run, other_run };

/// `Classify` gives the RunClass of a code point.
template <class Classify>
class RunSplitter final : public PreTokenizer {
 public:
  explicit RunSplitter(Classify classify) : classify_(std::move(classify)) {
    for (char32_t c = 0; c < ascii_.size(); ++c) ascii_[c] = classify_(c);
  }

  void split(Pieces& pieces) const override {
    std::string& text = pieces.text;
    std::vector<std::size_t> ends;
    ends.reserve(pieces.ends.size() + text.size() / 4);
    std::size_t out = 0;  // text before it is done, and in its place
    std::size_t closed = 0;
    const auto close = [&] {
      if (out > closed) ends.push_back(closed = out);
    };
    std::size_t at = 0;
    for (const std::size_t end : pieces.ends) {
      auto last = RunClass::dropped;
      while (at < end) {
        const auto [which, bytes] = class_at(text, at);
        if (which != last || which == RunClass::alone) close();
        last = which;
        const std::size_t first = at;
        at = which == RunClass::alone ? at + bytes : run_end(text, at + bytes, end, which);
        if (which == RunClass::dropped) {
          if (first == 0) pieces.section.first = false;  // the beginning goes
          continue;
        }
        if (out != first) std::memmove(text.data() + out, text.data() + first, at - first);
        out += at - first;
      }
      close();
    }
    text.resize(out);
    pieces.ends = std::move(ends);
  }

  [[nodiscard]] bool separates(char32_t before, char32_t after) const override {
    const RunClass left = classify_(before);
    return left != classify_(after) || left == RunClass::alone || left == RunClass::dropped;
  }

 private:
  [[nodiscard]] std::pair<RunClass, std::size_t> class_at(std::string_view text,
                                                          std::size_t at) const {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < ascii_.size()) return {ascii_[byte], 1};
    const CodePoint c = code_point_at(text, at);
    return {classify_(c.value), c.bytes};
  }

  // The end of the ASCII text at `at` of one class.
  [[nodiscard]] std::size_t run_end(std::string_view text, std::size_t at, std::size_t end,
                                    RunClass which) const {
    while (at < end && static_cast<unsigned char>(text[at]) < ascii_.size() &&
           ascii_[static_cast<unsigned char>(text[at])] == which) {
      ++at;
    }
    return at;
  }

  Classify classify_;
  std::array<RunClass, 128> ascii_{};
};

template <class Classify>
std::unique_ptr<PreTokenizer> split_runs(Classify classify) {
  return std::make_unique<RunSplitter<Classify>>(std::move(classify));
}

}  // namespace trireme
