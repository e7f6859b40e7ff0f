// SPDX-License-Identifier: Apache-2.0
// Reads JSON of unknown origin: bounded in size and depth, with no name twice in an object.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace trireme::huggingface {

/// What is read: a name is found in logarithmic time.
using Json = nlohmann::json;
/// What is written: members keep their order, and a name is searched among all.
using OrderedJson = nlohmann::ordered_json;

/// Parses one JSON object. Throws Error if the text is anything else, is nested deeper than
/// `most_depth`, or names a member twice.
[[nodiscard]] Json parse_object(const std::string& text, int most_depth);

/// The object in a file of at most `most_bytes` bytes. Throws Error that names the file.
[[nodiscard]] Json read_object(const std::string& path, std::int64_t most_bytes);

/// The value in one line of at most 60 bytes, for messages.
[[nodiscard]] std::string brief(const Json& value);

}  // namespace trireme::huggingface
