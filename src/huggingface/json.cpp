// SPDX-License-Identifier: Apache-2.0
// JSON with bounds.
#include "json.hpp"

#include <fstream>
#include <sstream>

#include "trireme/core/error.hpp"
#include "trireme/core/json_check.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"

namespace trireme::huggingface {

namespace {

constexpr int kFileDepth = 16;
constexpr std::size_t kBrief = 60;

}  // namespace

Json parse_object(const std::string& text, int most_depth) {
  check_json(text, most_depth);
  Json value = Json::parse(text);
  TRM_REQUIRE(value.is_object(), "not a JSON object");
  return value;
}

std::string read_text(const std::string& path, std::int64_t most_bytes) {
  require_file(path);
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  TRM_REQUIRE_SYSTEM(in.good(), errno, "{}: cannot be read", path);
  const std::streamoff bytes = in.tellg();
  TRM_REQUIRE(bytes >= 0 && bytes <= most_bytes,
              "{}: {} bytes are too many; at most {} are read", path, bytes, most_bytes);
  std::string text(static_cast<std::size_t>(bytes), '\0');
  in.seekg(0);
  in.read(text.data(), bytes);
  TRM_REQUIRE(in.gcount() == bytes, "{}: the file ends early", path);
  return text;
}

Json read_object(const std::string& path, std::int64_t most_bytes) {
  const std::string text = read_text(path, most_bytes);
  try {
    return parse_object(text, kFileDepth);
  } catch (const Error& e) {
    throw Error(fmt::format("{}: {}", path, e.what()));
  }
}

std::string brief(const Json& value) {
  return shortened(value.dump(-1, ' ', true, Json::error_handler_t::replace), kBrief);
}

}  // namespace trireme::huggingface
