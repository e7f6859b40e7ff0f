// SPDX-License-Identifier: Apache-2.0
// Conversations that the assistant is to go on with.
#include <algorithm>

#include "trireme/core/error.hpp"

#include "conversation.hpp"

namespace trireme {

namespace {

/// Marks with which an answer ends. A template without marks has the next user's turn instead.
std::vector<std::string> ends_of(const ChatTemplate& form) {
  std::vector<std::string> ends;
  for (const std::string_view mark : form.marks) {
    if (!mark.empty() && form.assistant.tail.find(mark) != std::string_view::npos) {
      ends.emplace_back(mark);
    }
  }
  if (ends.empty()) ends.emplace_back(form.user.before);
  return ends;
}

}  // namespace

ChatPrompt chat_prompt(const ChatTemplate& form, const std::vector<Message>& messages,
                       const Tokenizer& tokenizer) {
  std::vector<Message> all = messages;
  all.push_back({"assistant", "x"});
  Conversation whole;
  const auto trouble = write_conversation(form, all, whole);
  TRM_REQUIRE(!trouble, "{}", *trouble);
  const std::size_t end = whole.answers.back().begin;
  whole.text.resize(end);
  std::erase_if(whole.marks, [&](const WordSpan& mark) { return mark.end > end; });
  ChatPrompt prompt{{}, ends_of(form)};
  ConversationEncoder(form, tokenizer).encode_all(whole, prompt.ids);
  return prompt;
}

const ChatTemplate& fitting_template(const Tokenizer& tokenizer) {
  std::vector<std::string> fitting;
  for (const std::string& name : chat_template_names()) {
    const ChatTemplate& form = chat_template(name);
    if (!form.marks[0].empty() && missing_marks(form, tokenizer).empty()) {
      fitting.push_back(name);
    }
  }
  TRM_REQUIRE(
      fitting.size() == 1,
      "the tokenizer has the marks of {} chat templates{}{}: name one of {} with --chat",
      fitting.empty() ? "no" : "several", fitting.empty() ? "" : ", ", fmt::join(fitting, ", "),
      fmt::join(chat_template_names(), ", "));
  return chat_template(fitting.front());
}

}  // namespace trireme
