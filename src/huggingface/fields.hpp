// SPDX-License-Identifier: Apache-2.0
// The fields of a config.json, each of which must be understood.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"

namespace trireme::huggingface {

/// Values are checked when they are read. A field that holds null is missing, but see
/// count(). Every Error names the field and its value.
class Fields {
 public:
  /// `where` names the object in messages: "config.json".
  Fields(Json object, std::string where)
      : object_(std::move(object)), where_(std::move(where)) {}

  /// The value, which counts as read; null if the field is missing.
  [[nodiscard]] const Json& value(std::string_view name);
  [[nodiscard]] bool has(std::string_view name) { return !value(name).is_null(); }
  /// Whether the field stands there, be it with null.
  [[nodiscard]] bool written(const std::string& name) const { return object_.contains(name); }
  /// A whole number from 1 on; `usual` where the field is not there.
  /// Throws Error without either, and where null stands instead of a usual value.
  [[nodiscard]] std::int64_t count(std::string_view name,
                                   std::optional<std::int64_t> usual = std::nullopt);
  /// A finite number.
  [[nodiscard]] double number(std::string_view name, double usual);
  [[nodiscard]] bool truth(std::string_view name, bool usual);
  [[nodiscard]] std::string word(std::string_view name, const std::string& usual);
  /// An object within this one; empty where the field is missing.
  [[nodiscard]] Fields object(std::string_view name);
  /// Throws Error unless the field is missing or holds `expected`. `why` says what another
  /// value would mean.
  void require(std::string_view name, const Json& expected, std::string_view why);
  /// A field that has no effect on the model, whatever it holds.
  void pass(std::string_view name) { read_.emplace(name); }
  /// Throws Error that names all fields that nothing has read.
  void require_all_read() const;

  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] bool empty() const { return object_.empty(); }

 private:
  Json object_;
  std::string where_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace trireme::huggingface
