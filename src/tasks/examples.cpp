// SPDX-License-Identifier: Apache-2.0
// Reads files of JSON lines, and other text files, as a whole.
#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/tasks/task.hpp"

#include "text_filters.hpp"
#include "text_lines.hpp"

namespace trireme::tasks {

std::string text_of(const std::string& path) {
  std::string text = read_file(path);
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  return text;
}

std::vector<std::string> read_lines(const std::string& path) {
  const std::string text = text_of(path);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    at = end + 1;
  }
  while (!lines.empty() && stripped(lines.back()).empty()) lines.pop_back();
  return lines;
}

std::vector<Example> read_examples(const std::string& path, std::int64_t limit) {
  std::vector<Example> examples;
  std::int64_t number = 0;
  for (const std::string& line : read_lines(path)) {
    ++number;
    if (stripped(line).empty()) continue;
    if (limit > 0 && std::ssize(examples) == limit) break;
    Example example{nlohmann::json(), path, number};
    try {
      example.fields = nlohmann::json::parse(line);
    } catch (const nlohmann::json::parse_error& e) {
      throw Error(
          fmt::format("{}: not JSON ({}); a task's data are JSON lines, one object a "
                      "line",
                      example.place(), shortened(e.what(), 120)));
    }
    TRM_REQUIRE(
        example.fields.is_object(),
        "{}: the line is JSON, but no object; a task's data are JSON lines, one object a "
        "line",
        example.place());
    examples.push_back(std::move(example));
  }
  TRM_REQUIRE(!examples.empty(), "{}: there is no example in this file", printable(path));
  return examples;
}

}  // namespace trireme::tasks
