// SPDX-License-Identifier: Apache-2.0
// `trireme help TOPIC`.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace trireme {

/// The text of a topic: a command's own help, a page on a subject, or descriptions of deck keys
/// that have the words of `topic`. An empty topic lists all topics. Throws Error for words that
/// no topic and no key has, and names the nearest topic.
[[nodiscard]] std::string help_text(const CLI::App& program, const std::string& topic);

}  // namespace trireme
