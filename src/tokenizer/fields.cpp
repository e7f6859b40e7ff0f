// SPDX-License-Identifier: Apache-2.0
// Fields of JSON objects.
#include "fields.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

/// Whether a text that a message shows needs to be shortened.
std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

constexpr int kDeepest = 64;  // copies and messages take stack for each level

/// Notes the keys of the objects that are open while JSON is parsed.
class KeyWatch {
 public:
  explicit KeyWatch(const std::string& where) : where_(where) {}
  bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    // Functions that walk through a value call themselves for what it holds.
    TRM_REQUIRE(depth <= kDeepest, "{}: the JSON is nested more than {} deep", where_,
                kDeepest);
    if (event == Event::object_start) open_.emplace_back();
    if (event == Event::object_end) open_.pop_back();
    if (event != Event::key) return true;
    const std::string& key = parsed.get_ref<const std::string&>();
    TRM_REQUIRE(open_.back().insert(key).second, "{}: the key {} stands twice in an object",
                where_, shown(parsed));
    return true;
  }

 private:
  static constexpr int kDeepest = 100;
  const std::string& where_;
  std::vector<std::set<std::string>> open_;
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  try {
    return nlohmann::json::parse(text, KeyWatch(where));
  } catch (const nlohmann::json::exception& e) {
    throw Error(fmt::format("{}: this is no JSON: {}", where, e.what()));
  }
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
