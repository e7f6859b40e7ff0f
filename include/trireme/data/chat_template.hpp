// SPDX-License-Identifier: Apache-2.0
// Chat templates by name: how a conversation becomes text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

struct ChatTemplate;

/// The template of this name. Throws Error that lists all names if there is none.
[[nodiscard]] const ChatTemplate& chat_template(std::string_view name);
[[nodiscard]] std::vector<std::string> chat_template_names();

/// The marks of a template, such as "<|im_end|>", for which the tokenizer has no token.
[[nodiscard]] std::vector<std::string> missing_marks(const ChatTemplate& form,
                                                     const Tokenizer& tokenizer);

}  // namespace trireme
