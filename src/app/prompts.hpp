// SPDX-License-Identifier: Apache-2.0
// The prompts of `trireme generate`: of the command line, of a file, or typed.
#pragma once

#include <string>
#include <vector>

#include "trireme/data/chat_template.hpp"
#include "trireme/inference/inference.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// What the model is to go on with: a text, or a conversation.
struct Prompt {
  std::string text{};
  std::vector<Message> messages{};  ///< empty unless the file has conversations
};

/// The prompts of a text: of JSON lines if it begins with "{", else the pieces between `end`,
/// without blanks around them and without empty ones. A line of JSON has `prompt`, `text` or
/// `context`, or a list of `messages` with role and content. `name` is the file's, for
/// messages. Throws Error that names file and line.
[[nodiscard]] std::vector<Prompt> parse_prompts(const std::string& text, const std::string& end,
                                                const std::string& name);

/// Reads a file, or standard input if the name is "-".
[[nodiscard]] std::vector<Prompt> read_prompts(const std::string& file, const std::string& end);

/// Token ids of a prompt, with what the tokenizer puts before a document. A prompt without a
/// token becomes the end of a document, as in GPT-NeoX.
[[nodiscard]] TokenIds encode_prompt(const std::string& text, const Tokenizer& tokenizer);

/// The text of an answer's tokens behind the prompt: a tokenizer may write the first word of a
/// text in another way.
[[nodiscard]] std::string answer_text(const Tokenizer& tokenizer, const TokenIds& prompt,
                                      const TokenIds& tokens);

/// The place of the first of the stop texts in `text`; npos if there is none.
[[nodiscard]] std::size_t find_stop(const std::string& text,
                                    const std::vector<std::string>& stops);

}  // namespace trireme
