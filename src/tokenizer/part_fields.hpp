// SPDX-License-Identifier: Apache-2.0
// Fields: one object of a tokenizer.json, read field by field. Each error names the object and
// the field.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace trireme {

class Fields {
 public:
  /// Throws Error that begins with `where` if `spec` is no object, or has a field besides
  /// "type" and `known`. `spec` must outlive this.
  Fields(const nlohmann::json& spec, std::string where,
         std::initializer_list<std::string_view> known);

  [[nodiscard]] const std::string& where() const { return where_; }
  /// Where a field stands, for errors.
  [[nodiscard]] std::string where(std::string_view name) const;
  /// Whether the field exists and isn't null.
  [[nodiscard]] bool has(std::string_view name) const;

  // Each throws Error if the field has another kind. The first of each pair needs the field.
  [[nodiscard]] bool boolean(std::string_view name) const;
  [[nodiscard]] bool boolean(std::string_view name, bool otherwise) const;
  [[nodiscard]] std::string text(std::string_view name) const;
  [[nodiscard]] std::string text(std::string_view name, std::string_view otherwise) const;
  /// A string of exactly one code point.
  [[nodiscard]] char32_t character(std::string_view name) const;
  [[nodiscard]] std::int64_t whole_number(std::string_view name) const;  ///< 0 to 2³¹ − 1
  [[nodiscard]] std::int64_t whole_number(std::string_view name, std::int64_t otherwise) const;
  [[nodiscard]] const nlohmann::json& object(std::string_view name) const;
  [[nodiscard]] const nlohmann::json& array(std::string_view name) const;
  [[nodiscard]] const nlohmann::json& any(std::string_view name) const;

  /// The Error "WHERE: the field NAME REASON".
  [[noreturn]] void refuse(std::string_view name, std::string_view reason) const;

 private:
  const nlohmann::json& spec_;
  std::string where_;
};

/// The "type" of an object. Throws Error that begins with `where` if there is none.
[[nodiscard]] std::string type_of(const nlohmann::json& spec, const std::string& where);

/// Counts how deep sequences of a tokenizer.json hold sequences, while this exists.
class Nesting {
 public:
  /// Throws Error that begins with `where` if they are too deep for the stack.
  explicit Nesting(const std::string& where);
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  ~Nesting();
};

/// Throws the Error that `type` is none of `known`.
[[noreturn]] void refuse_type(const std::string& type, const std::string& where,
                              std::string_view known);

}  // namespace trireme
