// SPDX-License-Identifier: Apache-2.0
// Fields: one object of a tokenizer.json, read field by field.
#include "part_fields.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "trireme/core/error.hpp"

#include "utf8.hpp"

namespace trireme {

using nlohmann::json;

namespace {

// Neither lists nor objects are written out, since writing takes stack for each level.
std::string excerpt(const json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 60) {
    text.resize(57);
    text += "...";
  }
  return text;
}

constexpr int kDeepestSequence = 16;
thread_local int nesting = 0;

}  // namespace

Fields::Fields(const json& spec, std::string where,
               std::initializer_list<std::string_view> known)
    : spec_(spec), where_(std::move(where)) {
  TRM_REQUIRE(spec.is_object(), "{}: an object is needed instead of {}", where_, excerpt(spec));
  for (const auto& [name, value] : spec.items()) {
    TRM_REQUIRE(name == "type" || std::find(known.begin(), known.end(), name) != known.end(),
                "{}: the field \"{}\" is not known, and could change the tokens", where_, name);
  }
}

std::string Fields::where(std::string_view name) const {
  return fmt::format("{}: {}", where_, name);
}

bool Fields::has(std::string_view name) const {
  const auto it = spec_.find(name);
  return it != spec_.end() && !it->is_null();
}

void Fields::refuse(std::string_view name, std::string_view reason) const {
  throw Error(fmt::format("{}: the field \"{}\" {}", where_, name, reason));
}

const json& Fields::any(std::string_view name) const {
  const auto it = spec_.find(name);
  if (it == spec_.end()) refuse(name, "is missing");
  return *it;
}

bool Fields::boolean(std::string_view name) const {
  const json& value = any(name);
  if (!value.is_boolean()) {
    refuse(name, fmt::format("must be true or false, not {}", excerpt(value)));
  }
  return value.get<bool>();
}

bool Fields::boolean(std::string_view name, bool otherwise) const {
  return has(name) ? boolean(name) : otherwise;
}

std::string Fields::text(std::string_view name) const {
  const json& value = any(name);
  if (!value.is_string()) {
    refuse(name, fmt::format("must be a string, not {}", excerpt(value)));
  }
  return value.get<std::string>();
}

std::string Fields::text(std::string_view name, std::string_view otherwise) const {
  return has(name) ? text(name) : std::string(otherwise);
}

char32_t Fields::character(std::string_view name) const {
  const std::string value = text(name);
  const std::size_t bytes = valid_utf8_at(value, 0);
  if (bytes == 0 || bytes != value.size()) {
    refuse(name, fmt::format("must be one character, not {}", excerpt(any(name))));
  }
  return code_point_at(value, 0).value;
}

std::int64_t Fields::whole_number(std::string_view name) const {
  const json& value = any(name);
  const bool fits = value.is_number_unsigned() &&
                    value.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
  if (!fits) {
    refuse(name, fmt::format("must be a whole number from 0 on, not {}", excerpt(value)));
  }
  return value.get<std::int64_t>();
}

std::int64_t Fields::whole_number(std::string_view name, std::int64_t otherwise) const {
  return has(name) ? whole_number(name) : otherwise;
}

const json& Fields::object(std::string_view name) const {
  const json& value = any(name);
  if (!value.is_object()) {
    refuse(name, fmt::format("must be an object, not {}", excerpt(value)));
  }
  return value;
}

const json& Fields::array(std::string_view name) const {
  const json& value = any(name);
  if (!value.is_array()) refuse(name, fmt::format("must be a list, not {}", excerpt(value)));
  return value;
}

std::string type_of(const json& spec, const std::string& where) {
  TRM_REQUIRE(spec.is_object(), "{}: an object is needed instead of {}", where, excerpt(spec));
  const auto it = spec.find("type");
  TRM_REQUIRE(it != spec.end() && it->is_string(), "{}: the field \"type\" is missing", where);
  return it->get<std::string>();
}

Nesting::Nesting(const std::string& where) {
  TRM_REQUIRE(nesting < kDeepestSequence, "{}: more than {} sequences hold each other", where,
              kDeepestSequence);
  ++nesting;
}

Nesting::~Nesting() { --nesting; }

void refuse_type(const std::string& type, const std::string& where, std::string_view known) {
  throw Error(
      fmt::format("{}: the type \"{}\" is not known; known are {}", where, type, known));
}

}  // namespace trireme
