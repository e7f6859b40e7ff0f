// SPDX-License-Identifier: Apache-2.0
// Answers as JSON lines, or as text for people.
#include "answers.hpp"

#include <cstdio>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

namespace trireme {

namespace {

/// Bytes at the end of a text that begin a character and don't end it.
std::size_t unfinished(const std::string& text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0U) == 0x80U) continue;
    const std::size_t length = byte >= 0xf0U ? 4 : byte >= 0xe0U ? 3 : byte >= 0xc0U ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

/// Lines stay lines; what else would move a terminal's cursor is escaped.
std::string for_terminal(const std::string& text) {
  std::string shown;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    shown += printable(text.substr(at, end - at));
    if (end < text.size()) shown += '\n';
    at = end + 1;
  }
  return shown;
}

}  // namespace

std::string answer_line(const ShownAnswer& shown) {
  const Answer& answer = shown.answer;
  nlohmann::ordered_json line{{"context", shown.context},
                              {"text", shown.text},
                              {"length", answer.tokens.size()},
                              {"finished", answer.finished},
                              {"message", nullptr},
                              {"duration_seconds", answer.seconds}};
  if (!shown.message.empty()) line["message"] = shown.message;
  if (!answer.log_probabilities.empty()) {
    line["tokens"] = answer.tokens;
    line["token_logprobs"] = answer.log_probabilities;
  }
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

AnswerWriter::AnswerWriter(const std::string& output, bool on_terminal)
    : name_(output), on_terminal_(on_terminal) {
  if (output.empty()) return;
  file_.open(output, std::ios::binary);
  TRM_REQUIRE(file_.good(), "cannot write the answers to {}", printable(output));
}

void AnswerWriter::print(const std::string& given) const {
  const std::string text = on_terminal_ ? for_terminal(given) : given;
  const bool good = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
                    std::fflush(stdout) == 0;
  TRM_REQUIRE(good, "cannot write the answers to standard output");
}

void AnswerWriter::begin(const std::string& context) {
  print(context);
  streams_one_ = true;
}

void AnswerWriter::stream(const std::string& text) {
  const std::size_t end = text.size() - unfinished(text);
  if (end <= streamed_) return;
  print(text.substr(streamed_, end - streamed_));
  streamed_ = end;
}

void AnswerWriter::write(const ShownAnswer& shown) {
  if (file_.is_open()) {
    file_ << answer_line(shown) << '\n' << std::flush;
    TRM_REQUIRE(file_.good(), "cannot write the answers to {}", printable(name_));
    return;
  }
  if (!on_terminal_) return print(answer_line(shown) + '\n');
  std::string rest = shown.text.substr(std::min(streamed_, shown.text.size()));
  if (!streams_one_) rest = shown.context + rest;
  if (!shown.message.empty()) rest += fmt::format("\n[{}]", shown.message);
  print(rest + "\n\n");
  streamed_ = 0;
  streams_one_ = false;
}

}  // namespace trireme
