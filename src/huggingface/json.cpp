// SPDX-License-Identifier: Apache-2.0
// JSON with bounds.
#include "json.hpp"

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

Json read_object(const std::string& path, std::int64_t most_bytes) {
  const std::string text = read_file(path, most_bytes);
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
