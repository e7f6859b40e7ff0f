// SPDX-License-Identifier: Apache-2.0
// YAML text to values with places.
#include "deck_tree.hpp"

#include <algorithm>
#include <exception>

#include <yaml-cpp/yaml.h>

namespace trireme::deck {
namespace {

constexpr int kMaxDepth = 16;
constexpr int kMaxValues = 100'000;
constexpr std::size_t kShownCharacters = 40;

/// Copies a yaml-cpp graph. Its nodes may be shared or even cyclic (anchors), hence the limits.
class Copier {
 public:
  Copier(std::string source, bool lines) : source_(std::move(source)), lines_(lines) {}

  Value copy(const YAML::Node& node, int depth) {
    Value v;
    v.place = place(node.Mark());
    if (depth > kMaxDepth || ++count_ > kMaxValues)
      fail(v.place, "this is nested too deeply or too large for a deck");
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        break;
      case YAML::NodeType::Scalar:
        v.kind = Value::Kind::scalar;
        v.text = node.Scalar();
        v.quoted = node.Tag() == "!";
        break;
      case YAML::NodeType::Sequence:
        v.kind = Value::Kind::list;
        for (const YAML::Node& item : node) v.items.push_back(copy(item, depth + 1));
        break;
      case YAML::NodeType::Map:
        v.kind = Value::Kind::map;
        for (const auto& pair : node) add(v, pair.first, pair.second, depth);
        break;
    }
    return v;
  }

 private:
  [[nodiscard]] Place place(const YAML::Mark& mark) const {
    if (!lines_ || mark.is_null()) return {source_, 0, 0};
    return {source_, mark.line + 1, mark.column + 1};
  }

  void add(Value& map, const YAML::Node& key, const YAML::Node& value, int depth) {
    const Place at = place(key.Mark());
    if (!key.IsScalar()) fail(at, "a key must be a plain name");
    const std::string name = with_underscores(key.Scalar());
    for (const Entry& e : map.entries)
      if (e.key == name)
        fail(at, "key '{}' is given twice, first in line {}; keep one of them", key.Scalar(),
             e.place.line);
    map.entries.push_back({name, at, copy(value, depth + 1)});
  }

  std::string source_;
  bool lines_;
  int count_ = 0;
};

}  // namespace

std::string Place::str() const {
  return line > 0 ? fmt::format("{}:{}:{}", source, line, column) : source;
}

const Value* Value::find(std::string_view key) const {
  const auto at = std::ranges::find(entries, key, &Entry::key);
  return at == entries.end() ? nullptr : &at->value;
}

std::string Value::str() const {
  std::string s;
  switch (kind) {
    case Kind::null:
      return "nothing";
    case Kind::scalar:
      s = text;
      break;
    case Kind::list:
      for (const Value& v : items) s += (s.empty() ? "[" : ", ") + v.str();
      s = s.empty() ? "[]" : s + "]";
      break;
    case Kind::map:
      for (const Entry& e : entries)
        s += (s.empty() ? "{" : ", ") + e.key + ": " + e.value.str();
      s = s.empty() ? "{}" : s + "}";
      break;
  }
  std::ranges::replace_if(
      s, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  if (s.size() > kShownCharacters) {
    std::size_t cut = kShownCharacters;
    while (cut > 0 && (static_cast<unsigned char>(s[cut]) & 0xC0U) == 0x80U) --cut;
    s = s.substr(0, cut) + "...";
  }
  return kind == Kind::scalar ? "'" + s + "'" : s;
}

std::string with_underscores(std::string_view key) {
  std::string s(key);
  std::ranges::replace(s, '-', '_');
  return s;
}

Value parse_tree(const std::string& text, const std::string& name) {
  if (text.find('\0') != std::string::npos)
    throw Error(fmt::format("{}: this is not a text file; a deck is YAML or JSON", name));
  std::vector<YAML::Node> documents;
  try {
    documents = YAML::LoadAll(text);
  } catch (const YAML::Exception& e) {
    fail(Place{name, e.mark.line + 1, e.mark.column + 1}, "YAML error: {}", e.msg);
  }
  if (documents.size() > 1)
    throw Error(fmt::format(
        "{}: holds {} YAML documents (separated by ---); a deck is one, so pass them "
        "as files of their own",
        name, documents.size()));
  if (documents.empty()) return {Value::Kind::map, false, {}, {}, {}, {name, 0, 0}};
  Value v = Copier(name, true).copy(documents.front(), 0);
  if (v.kind == Value::Kind::null) v.kind = Value::Kind::map;
  if (v.kind != Value::Kind::map)
    fail(v.place, "a deck is a dictionary of keys and values, this is {}", v.str());
  return v;
}

Value parse_override(const std::string& text) {
  const Place place{"--set " + text, 0, 0};
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) fail(place, "expects key=value");
  Value v;
  try {
    v = Copier(place.source, false).copy(YAML::Load(text.substr(equals + 1)), 0);
  } catch (const YAML::Exception& e) {
    fail(place, "YAML error in the value: {}", e.msg);
  }
  std::string path = with_underscores(text.substr(0, equals));
  std::erase(path, ' ');
  while (true) {  // from the innermost name outwards
    const std::size_t dot = path.rfind('.');
    const std::string key = dot == std::string::npos ? path : path.substr(dot + 1);
    Value outer{Value::Kind::map, false, {}, {}, {}, place};
    outer.entries.push_back({key, place, std::move(v)});
    v = std::move(outer);
    if (dot == std::string::npos) return v;
    path.resize(dot);
  }
}

}  // namespace trireme::deck
