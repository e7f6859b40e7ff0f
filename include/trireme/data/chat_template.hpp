// SPDX-License-Identifier: Apache-2.0
// Chat templates by name: how a conversation becomes text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

struct ChatTemplate;

struct Message {
  std::string role;  ///< system, user or assistant
  std::string text;
};

/// The template of this name. Throws Error that lists all names if there is none.
[[nodiscard]] const ChatTemplate& chat_template(std::string_view name);
[[nodiscard]] std::vector<std::string> chat_template_names();

/// The marks of a template, such as "<|im_end|>", for which the tokenizer has no token.
[[nodiscard]] std::vector<std::string> missing_marks(const ChatTemplate& form,
                                                     const Tokenizer& tokenizer);

/// A conversation that the assistant is to go on with.
struct ChatPrompt {
  std::vector<std::int32_t> ids;
  /// Texts that end the assistant's words: marks of the template.
  std::vector<std::string> ends;
};
/// Writes the messages and the beginning of the assistant's turn. Throws Error that says what
/// does not fit the template.
[[nodiscard]] ChatPrompt chat_prompt(const ChatTemplate& form,
                                     const std::vector<Message>& messages,
                                     const Tokenizer& tokenizer);

/// The only template whose marks the tokenizer has all. Throws Error that lists the names if
/// there is none, or several.
[[nodiscard]] const ChatTemplate& fitting_template(const Tokenizer& tokenizer);

}  // namespace trireme
