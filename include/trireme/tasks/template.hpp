// SPDX-License-Identifier: Apache-2.0
// Templates: texts of a task, in which braces stand for the fields of an example.
//
//   {goal}                       a text, a whole number, or true or false
//   {question.stem}              a field of an object
//   {choices[0]}                 an element of a list, counted from 0
//   {question.choices[].text}    each element: only where a list of texts is wanted
//   {ctx_b|strip|capitalize}     filters, from left to right
//   {{ and }}                    braces themselves
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "trireme/deck/tree.hpp"

namespace trireme::tasks {

/// A line of a data file.
struct Example {
  nlohmann::json fields;
  std::string file;
  std::int64_t line = 0;

  /// "FILE, line N".
  [[nodiscard]] std::string place() const;
};

class Template {
 public:
  Template() = default;
  /// `place` is where the text stands in the task's file, for messages. Throws Error on an open
  /// brace, an empty name or an unknown filter.
  Template(std::string_view text, deck::Place place);

  /// Throws Error that names file, line and field where the example lacks a field, or has
  /// something else than a text there.
  [[nodiscard]] std::string fill(const Example& example) const;
  /// One text for each element of the list that the template names. A template without a list
  /// gives one text. Throws Error where two fields are lists.
  [[nodiscard]] std::vector<std::string> fill_list(const Example& example) const;
  [[nodiscard]] bool empty() const { return pieces_.empty(); }

 private:
  struct Step {
    enum class Kind : std::uint8_t { name, index, each };
    Kind kind = Kind::name;
    std::string name{};
    std::size_t index = 0;
  };
  struct Piece {
    std::string text{};  ///< literal, or the field in its spelling
    std::vector<Step> path{};
    std::vector<std::string (*)(std::string_view)> filters{};
    [[nodiscard]] bool is_field() const { return !path.empty(); }
  };

  void parse_field(std::string_view inside);
  void parse_path(std::string_view path, Piece& piece) const;
  [[nodiscard]] std::vector<std::string> texts_of(const Piece& piece, const Example& example,
                                                  bool& is_list) const;
  [[noreturn]] void fail(const Example& example, const Piece& piece,
                         const std::string& what) const;

  std::vector<Piece> pieces_;
  deck::Place place_;
};

/// A list of texts: one template for each, or one template that names a list.
class Texts {
 public:
  Texts() = default;
  /// Throws Error unless the value is a text or a list of texts.
  explicit Texts(const deck::Value& value);

  [[nodiscard]] std::vector<std::string> fill(const Example& example) const;
  [[nodiscard]] bool empty() const { return templates_.empty(); }

 private:
  std::vector<Template> templates_;
};

}  // namespace trireme::tasks
