// SPDX-License-Identifier: Apache-2.0
// Chat templates by name: how a conversation becomes text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trireme {

struct ChatTemplate;

/// The template of this name. Throws Error that lists all names if there is none.
[[nodiscard]] const ChatTemplate& chat_template(std::string_view name);
[[nodiscard]] std::vector<std::string> chat_template_names();

}  // namespace trireme
