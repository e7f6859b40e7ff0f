// SPDX-License-Identifier: Apache-2.0
// Fields of JSON objects: each function throws Error that begins with `where` and names the
// field if it is missing or of another kind.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace trireme {

/// Parses JSON in which no object has a key twice. Throws Error that begins with `where`.
[[nodiscard]] nlohmann::json parse_json(std::string_view text, const std::string& where);

/// Throws Error unless `spec` is an object that has no other fields than these.
void require_fields(const nlohmann::json& spec, std::initializer_list<std::string_view> known,
                    const std::string& where);
[[nodiscard]] const nlohmann::json& field(const nlohmann::json& spec, const std::string& name,
                                          const std::string& where);
[[nodiscard]] std::string text_field(const nlohmann::json& spec, const std::string& name,
                                     const std::string& where);
/// "" if the field is missing or null.
[[nodiscard]] std::string optional_text(const nlohmann::json& spec, const std::string& name,
                                        const std::string& where);
/// `missing` if the field is missing or null.
[[nodiscard]] bool flag(const nlohmann::json& spec, const std::string& name, bool missing,
                        const std::string& where);
/// An id: an integer from 0 to kLargestId.
inline constexpr std::int64_t kLargestId = (1 << 22) - 1;
[[nodiscard]] std::int32_t id_from(const nlohmann::json& value, const std::string& where);

}  // namespace trireme
