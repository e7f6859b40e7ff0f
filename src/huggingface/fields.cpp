// SPDX-License-Identifier: Apache-2.0
// Typed access to config.json.
#include "fields.hpp"

#include <cmath>

#include <fmt/ranges.h>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

namespace trireme::huggingface {

namespace {

/// Sizes of models are below this, and products of two of them don't overflow.
constexpr std::int64_t kMost = 1'000'000'000;
constexpr std::size_t kShown = 60;

}  // namespace

const Json& Fields::value(std::string_view name) {
  static const Json kNull;
  read_.emplace(name);
  const auto at = object_.find(std::string(name));
  return at == object_.end() ? kNull : *at;
}

std::int64_t Fields::count(std::string_view name, std::optional<std::int64_t> usual) {
  const Json& v = value(name);
  TRM_REQUIRE(!v.is_null() || usual, "{}: the field {} is missing", where_, name);
  if (v.is_null()) {
    TRM_REQUIRE(!written(std::string(name)),
                "{}: {} is null; it must be a whole number, or be left out to mean {}", where_,
                name, *usual);
    return *usual;
  }
  // nlohmann's JSON keeps numbers of a program as signed and those of a file as unsigned.
  TRM_REQUIRE(
      v.is_number_integer() && v.get<std::int64_t>() >= 1 && v.get<std::int64_t>() <= kMost,
      "{}: {} must be a whole number from 1 to 10⁹, is {}", where_, name, brief(v));
  return v.get<std::int64_t>();
}

double Fields::number(std::string_view name, double usual) {
  const Json& v = value(name);
  if (v.is_null()) return usual;
  TRM_REQUIRE(v.is_number() && std::isfinite(v.get<double>()), "{}: {} must be a number, is {}",
              where_, name, brief(v));
  return v.get<double>();
}

bool Fields::truth(std::string_view name, bool usual) {
  const Json& v = value(name);
  if (v.is_null()) return usual;
  TRM_REQUIRE(v.is_boolean(), "{}: {} must be true or false, is {}", where_, name, brief(v));
  return v.get<bool>();
}

std::string Fields::word(std::string_view name, const std::string& usual) {
  const Json& v = value(name);
  if (v.is_null()) return usual;
  TRM_REQUIRE(v.is_string(), "{}: {} must be a word, is {}", where_, name, brief(v));
  return printable(v.get<std::string>());
}

Fields Fields::object(std::string_view name) {
  const Json& v = value(name);
  TRM_REQUIRE(v.is_null() || v.is_object(), "{}: {} must be an object, is {}", where_, name,
              brief(v));
  return {v.is_null() ? Json::object() : v, fmt::format("{}: {}", where_, name)};
}

void Fields::require(std::string_view name, const Json& expected, std::string_view why) {
  const Json& v = value(name);
  TRM_REQUIRE(v.is_null() || v == expected, "{}: {} is {}, but only {} can be loaded: {}",
              where_, name, brief(v), brief(expected), why);
}

void Fields::require_all_read() const {
  std::vector<std::string> unknown;
  for (const auto& [name, value] : object_.items()) {
    if (!read_.contains(name) && !value.is_null()) {
      unknown.push_back(fmt::format("{}: {}", shortened(name, kShown), brief(value)));
    }
  }
  TRM_REQUIRE(unknown.empty(),
              "{}: unknown field{} {}; such a field can change what the model computes, so the "
              "folder isn't loaded. Remove what has no effect",
              where_, unknown.size() == 1 ? "" : "s", fmt::join(unknown, ", "));
}

}  // namespace trireme::huggingface
