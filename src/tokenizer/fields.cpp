// SPDX-License-Identifier: Apache-2.0
// Fields of JSON objects.
#include "fields.hpp"

#include <algorithm>

#include "trireme/core/error.hpp"
#include "trireme/core/json_check.hpp"

namespace trireme {

namespace {

/// Whether a text that a message shows needs to be shortened.
std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

constexpr int kDeepest = 100;  // copies and messages take stack for each level

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  try {
    check_json(text, kDeepest);
  } catch (const Error& e) {
    throw Error(fmt::format("{}: {}", where, e.what()));
  }
  return nlohmann::json::parse(text);
}

void require_fields(const nlohmann::json& spec, std::initializer_list<std::string_view> known,
                    const std::string& where) {
  TRM_REQUIRE(spec.is_object(), "{}: an object is expected, not {}", where, shown(spec));
  for (const auto& [name, value] : spec.items()) {
    TRM_REQUIRE(std::find(known.begin(), known.end(), name) != known.end(),
                "{}: the field \"{}\" is not supported", where, name);
  }
}

const nlohmann::json& field(const nlohmann::json& spec, const std::string& name,
                            const std::string& where) {
  TRM_REQUIRE(spec.is_object(), "{}: an object is expected, not {}", where, shown(spec));
  const auto found = spec.find(name);
  TRM_REQUIRE(found != spec.end(), "{}: the field \"{}\" is missing", where, name);
  return *found;
}

std::string text_field(const nlohmann::json& spec, const std::string& name,
                       const std::string& where) {
  const nlohmann::json& value = field(spec, name, where);
  TRM_REQUIRE(value.is_string(), "{}: the field \"{}\" must be a text, not {}", where, name,
              shown(value));
  return value.get<std::string>();
}

std::string optional_text(const nlohmann::json& spec, const std::string& name,
                          const std::string& where) {
  const bool is_there = spec.is_object() && spec.contains(name) && !spec[name].is_null();
  return is_there ? text_field(spec, name, where) : "";
}

bool flag(const nlohmann::json& spec, const std::string& name, bool missing,
          const std::string& where) {
  const bool is_there = spec.is_object() && spec.contains(name) && !spec[name].is_null();
  if (!is_there) return missing;
  TRM_REQUIRE(spec[name].is_boolean(), "{}: the field \"{}\" must be true or false, not {}",
              where, name, shown(spec[name]));
  return spec[name].get<bool>();
}

std::int32_t id_from(const nlohmann::json& value, const std::string& where) {
  const bool fits = value.is_number_unsigned() &&
                    value.get<std::uint64_t>() <= static_cast<std::uint64_t>(kLargestId);
  TRM_REQUIRE(fits, "{}: a token's id must be an integer from 0 to {}, not {}", where,
              kLargestId, shown(value));
  return value.get<std::int32_t>();
}

}  // namespace trireme
