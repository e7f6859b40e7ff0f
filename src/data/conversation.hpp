// SPDX-License-Identifier: Apache-2.0
// Conversations as text, with the places of the assistant's words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/data/chat_template.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

struct Message {
  std::string role;  ///< system, user or assistant
  std::string text;
};

/// Bytes [begin, end) of a text.
struct WordSpan {
  std::size_t begin;
  std::size_t end;
};

struct Conversation {
  std::string text{};
  std::vector<WordSpan> answers{};  ///< the assistant's words, with the mark that ends them
  bool ends_by_mark = false;        ///< a mark of the template ends answers
};

/// How a turn is written: before, the words, after. `lead` and `tail` count as the words.
struct ChatTurn {
  std::string_view before;
  std::string_view lead;
  std::string_view tail;
  std::string_view after;
};

struct ChatTemplate {
  std::string_view name;
  std::string_view begin;  ///< before everything
  ChatTurn system;
  ChatTurn user;
  ChatTurn assistant;
  bool has_system = true;
  bool system_in_user = false;      ///< the system's turn stands within the first user's turn
  bool alternates = false;          ///< users and assistants take turns
  bool trims = false;               ///< white space around words is left out
  std::string_view usual_system{};  ///< what stands where no message is the system's
};

/// Writes a conversation. Returns what does not fit the template; nothing if all does.
[[nodiscard]] std::optional<std::string> write_conversation(
    const ChatTemplate& form, const std::vector<Message>& messages, Conversation& to);

/// Appends the ids of `text`, and for each whether it holds bytes of one of the `counted`
/// spans, which are ascending.
void encode_marked(std::string_view text, const std::vector<WordSpan>& counted,
                   const Tokenizer& tokenizer, std::vector<std::int32_t>& tokens,
                   std::vector<std::uint8_t>& mask);

}  // namespace trireme
