// SPDX-License-Identifier: Apache-2.0
// Conversations as text, with the places of the assistant's words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trireme/data/chat_template.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// Bytes [begin, end) of a text.
struct WordSpan {
  std::size_t begin;
  std::size_t end;
};

struct Conversation {
  std::string text{};
  std::vector<WordSpan> answers{};  ///< the assistant's words, with the mark that ends them
  std::vector<WordSpan> marks{};    ///< marks that the template wrote, ascending
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
  /// Tokens of its models that the template writes, such as "<|im_end|>"; then "".
  std::array<std::string_view, 4> marks{};
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

/// Encodes conversations of a template.
class ConversationEncoder {
 public:
  ConversationEncoder(const ChatTemplate& form, const Tokenizer& tokenizer);

  /// Appends the ids of a conversation. A mark becomes the token of this name, if there is one:
  /// encode() of SentencePiece and tiktoken reads marks as ordinary text.
  void encode_all(const Conversation& conversation, std::vector<std::int32_t>& tokens) const;
  /// Appends for each id, too, whether it holds bytes of one of the `counted` spans.
  void encode_counted(const Conversation& conversation, const std::vector<WordSpan>& counted,
                      std::vector<std::int32_t>& tokens, std::vector<std::uint8_t>& mask) const;

 private:
  /// Calls `text` for each text between marks, and `mark` for each mark and its id.
  template <class Text, class Mark>
  void divide(const Conversation& conversation, Text&& text, Mark&& mark) const;

  const Tokenizer& tokenizer_;
  /// marks that Tokenizer::encode() would not make one token
  std::vector<std::pair<std::string_view, std::int32_t>> ids_;
};

}  // namespace trireme
