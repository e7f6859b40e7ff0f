// SPDX-License-Identifier: Apache-2.0
// Parses templates, and fills them with an example's fields.
#include "trireme/tasks/template.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "trireme/core/printable.hpp"

#include "text_filters.hpp"

namespace trireme::tasks {

namespace {

/// "the fields here are "a" and "b"".
std::string fields_of(const nlohmann::json& object) {
  constexpr std::size_t kFields = 8;
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) {
    if (names.size() == kFields) {
      names.emplace_back("...");
      break;
    }
    names.push_back(fmt::format("\"{}\"", shortened(name, kShown)));
  }
  return names.empty() ? "there are no fields here"
                       : fmt::format("the fields here are {}", fmt::join(names, ", "));
}

std::string kind_of(const nlohmann::json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_null()) return "null";
  return value.is_string() ? "a text" : "a number";
}

}  // namespace

std::string Example::place() const { return fmt::format("{}, line {}", printable(file), line); }

Template::Template(std::string_view text, deck::Place place) : place_(std::move(place)) {
  std::string plain;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const bool doubled = at + 1 < text.size() && text[at + 1] == c;
    if ((c != '{' && c != '}') || doubled) {
      plain += c;
      at += c == '{' || c == '}' ? 2 : 1;
      continue;
    }
    const std::size_t end = c == '{' ? text.find('}', at) : std::string_view::npos;
    if (end == std::string_view::npos) {
      deck::fail(place_,
                 "the brace in \"{}\" has no partner; write {{{{ or }}}} for a brace "
                 "that is text",
                 shortened(text.substr(at), kShown));
    }
    if (!plain.empty()) pieces_.push_back({.text = std::exchange(plain, {})});
    parse_field(text.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  if (!plain.empty()) pieces_.push_back({.text = std::move(plain)});
}

void Template::parse_field(std::string_view inside) {
  Piece piece{.text = std::string(inside)};
  const std::size_t bar = std::min(inside.find('|'), inside.size());
  parse_path(inside.substr(0, bar), piece);
  for (std::string_view rest = inside.substr(bar); !rest.empty();) {
    rest.remove_prefix(1);
    const std::size_t end = std::min(rest.find('|'), rest.size());
    const Filter filter = find_filter(rest.substr(0, end));
    if (filter == nullptr) {
      deck::fail(place_, "{{{}}}: there is no filter \"{}\"; filters are {}",
                 shortened(inside, kShown), shortened(rest.substr(0, end), kShown),
                 fmt::join(filter_names(), ", "));
    }
    piece.filters.push_back(filter);
    rest.remove_prefix(end);
  }
  pieces_.push_back(std::move(piece));
}

void Template::parse_path(std::string_view path, Piece& piece) const {
  const auto refuse = [&](const char* what) {
    deck::fail(place_, "{{{}}}: {}; a field is written as name, name.name, name[0] or name[]",
               shortened(piece.text, kShown), what);
  };
  bool wants_name = true;
  while (!path.empty() || wants_name) {
    if (wants_name) {
      const std::size_t end = std::min(path.find_first_of(".["), path.size());
      if (end == 0) refuse("a name is missing");
      piece.path.push_back({.name = std::string(path.substr(0, end))});
      path.remove_prefix(end);
      wants_name = false;
    } else if (path.front() == '.') {
      path.remove_prefix(1);
      wants_name = true;
    } else if (path.front() == '[') {
      const std::size_t end = path.find(']');
      if (end == std::string_view::npos) refuse("a bracket is open");
      Step step{.kind = end == 1 ? Step::Kind::each : Step::Kind::index};
      const char* const last = path.data() + end;
      if (end > 1) {
        const auto [stop, code] = std::from_chars(path.data() + 1, last, step.index);
        if (code != std::errc() || stop != last) refuse("brackets hold a number or nothing");
      }
      piece.path.push_back(std::move(step));
      path.remove_prefix(end + 1);
    } else {
      refuse("a dot is missing");
    }
  }
}

void Template::fail(const Example& example, const Piece& piece, const std::string& what) const {
  throw Error(fmt::format("{}: {}, for {{{}}} of {}", example.place(), what,
                          shortened(piece.text, kShown), place_.str()));
}

std::vector<std::string> Template::texts_of(const Piece& piece, const Example& example,
                                            bool& is_list) const {
  std::vector<const nlohmann::json*> values{&example.fields};
  for (const Step& step : piece.path) {
    std::vector<const nlohmann::json*> next;
    for (const nlohmann::json* value : values) {
      if (step.kind == Step::Kind::name) {
        const auto found = value->find(step.name);
        if (!value->is_object() || found == value->end()) {
          fail(example, piece,
               fmt::format(
                   "there is no field \"{}\"; {}", shortened(step.name, kShown),
                   value->is_object() ? fields_of(*value) : "here stands " + kind_of(*value)));
        }
        next.push_back(&*found);
        continue;
      }
      if (!value->is_array()) {
        fail(example, piece, "a list is expected, but here stands " + kind_of(*value));
      }
      if (step.kind == Step::Kind::each) {
        for (const nlohmann::json& element : *value) next.push_back(&element);
      } else if (step.index < value->size()) {
        next.push_back(&(*value)[step.index]);
      } else {
        fail(example, piece,
             fmt::format("element {} is missing in {}", step.index, kind_of(*value)));
      }
    }
    is_list = is_list || step.kind == Step::Kind::each;
    values = std::move(next);
  }
  if (!is_list && values.front()->is_array()) {
    is_list = true;
    const nlohmann::json& list = *values.front();
    values.clear();
    for (const nlohmann::json& element : list) values.push_back(&element);
  }
  std::vector<std::string> texts;
  for (const nlohmann::json* value : values) {
    if (!value->is_string() && !value->is_number_integer() && !value->is_boolean()) {
      fail(example, piece,
           "a text or a whole number is expected, but here stands " + kind_of(*value));
    }
    std::string text = value->is_string() ? value->get<std::string>() : value->dump();
    for (const auto filter : piece.filters) text = filter(text);
    texts.push_back(std::move(text));
  }
  return texts;
}

std::string Template::fill(const Example& example) const {
  std::string filled;
  for (const Piece& piece : pieces_) {
    if (!piece.is_field()) {
      filled += piece.text;
      continue;
    }
    bool is_list = false;
    const std::vector<std::string> texts = texts_of(piece, example, is_list);
    if (is_list) fail(example, piece, "one text is expected, but here stands a list");
    filled += texts.front();
  }
  return filled;
}

std::vector<std::string> Template::fill_list(const Example& example) const {
  std::vector<std::string> filled(1);
  bool has_list = false;
  for (const Piece& piece : pieces_) {
    bool is_list = false;
    std::vector<std::string> texts{piece.text};
    if (piece.is_field()) texts = texts_of(piece, example, is_list);
    if (is_list && has_list) fail(example, piece, "a second list stands in one template");
    if (is_list) {
      has_list = true;
      const std::string before = filled.front();
      filled.assign(texts.size(), before);
    }
    for (std::size_t i = 0; i < filled.size(); ++i) filled[i] += texts[is_list ? i : 0];
  }
  return filled;
}

Texts::Texts(const deck::Value& value) {
  if (value.kind == deck::Value::Kind::scalar) {
    templates_.emplace_back(value.text, value.place);
    return;
  }
  if (value.kind != deck::Value::Kind::list || value.items.empty()) {
    deck::fail(value.place, "expects a text or a list of texts, but here stands {}",
               value.str());
  }
  for (const deck::Value& item : value.items) {
    if (item.kind != deck::Value::Kind::scalar) {
      deck::fail(item.place, "expects a text, but here stands {}", item.str());
    }
    templates_.emplace_back(item.text, item.place);
  }
}

std::vector<std::string> Texts::fill(const Example& example) const {
  if (templates_.size() == 1) return templates_.front().fill_list(example);
  std::vector<std::string> filled;
  for (const Template& one : templates_) filled.push_back(one.fill(example));
  return filled;
}

}  // namespace trireme::tasks
