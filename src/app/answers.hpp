// SPDX-License-Identifier: Apache-2.0
// Where the answers of `trireme generate` go: JSON lines, or a terminal.
#pragma once

#include <fstream>
#include <iosfwd>
#include <string>

#include "trireme/inference/generate.hpp"

namespace trireme {

/// An answer to show, on rank 0.
struct ShownAnswer {
  const std::string& context;
  std::string text;
  const Answer& answer;
  std::string message;  ///< what a reader should know; empty: nothing
};

/// One JSON object, as GPT-NeoX writes them: context, text, length, finished, message and
/// duration_seconds; with log-probabilities, tokens and token_logprobs too. Bytes that are not
/// UTF-8 become U+FFFD.
[[nodiscard]] std::string answer_line(const ShownAnswer& shown);

/// Writes answers on rank 0.
class AnswerWriter {
 public:
  /// `output` is a file, or empty for standard output. Throws Error if it can't be written.
  AnswerWriter(const std::string& output, bool on_terminal);

  /// Whether a person reads along, so that single answers are shown token by token.
  [[nodiscard]] bool streams() const { return on_terminal_ && !file_.is_open(); }
  /// Shows a prompt, whose answer is streamed next.
  void begin(const std::string& context);
  /// Shows what is new of the text of an answer under way.
  void stream(const std::string& text);
  /// Shows or writes an answer, or the rest of one that was streamed.
  void write(const ShownAnswer& shown);

 private:
  /// Prints to standard output; to a terminal, what only prints.
  void print(const std::string& text) const;

  std::string name_;
  std::ofstream file_;
  bool on_terminal_;
  bool streams_one_ = false;  ///< begin() was called
  std::size_t streamed_ = 0;  ///< bytes of the present answer that were shown
};

}  // namespace trireme
