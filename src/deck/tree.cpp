// SPDX-License-Identifier: Apache-2.0
// Parses YAML text to values that know their source and line.
#include "trireme/deck/tree.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <unordered_map>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "trireme/core/printable.hpp"

#include "yaml_error.hpp"

namespace trireme::deck {
namespace {

constexpr int kMaxDepth = 100;
constexpr int kMaxValues = 100'000;
constexpr int kMaxKeys = 10'000;
constexpr std::size_t kShownCharacters = 40;

/// Copies a yaml-cpp graph. Anchors can make its nodes shared or even cyclic, hence the limits.
class Copier {
 public:
  Copier(std::string source, bool lines) : source_(std::move(source)), lines_(lines) {}

  Value copy(const YAML::Node& node, int depth) {
    Value v;
    v.place = place(node.Mark());
    if (depth > kMaxDepth) fail(v.place, "this value is nested more than {} deep", kMaxDepth);
    if (++count_ > kMaxValues) {
      fail(v.place, "a deck may have {} values, and this is one more", kMaxValues);
    }
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
      case YAML::NodeType::Map: {
        v.kind = Value::Kind::map;
        std::unordered_map<std::string, int> lines;  // the line that gave each key
        for (const auto& pair : node) add(v, lines, pair.first, pair.second, depth);
        break;
      }
    }
    return v;
  }

 private:
  [[nodiscard]] Place place(const YAML::Mark& mark) const {
    if (!lines_ || mark.is_null()) return {source_, 0, 0};
    return {source_, mark.line + 1, mark.column + 1};
  }

  void add(Value& map, std::unordered_map<std::string, int>& lines, const YAML::Node& key,
           const YAML::Node& value, int depth) {
    const Place at = place(key.Mark());
    if (!key.IsScalar() || !name_like(key.Scalar())) {
      fail(at, "expects a key here, a word and a colon; is a bracket or a quote left open?");
    }
    const std::string name = with_underscores(key.Scalar());
    if (++keys_ > kMaxKeys) fail(at, "a deck may have {} keys, and this is one more", kMaxKeys);
    const auto [first, is_new] = lines.emplace(name, at.line);
    if (!is_new) {
      fail(at, "key '{}' is given twice, first in line {}; keep one of them", key.Scalar(),
           first->second);
    }
    map.entries.push_back({name, at, copy(value, depth + 1)});
  }

  /// Whether a name can be a key. Other names come from a broken deck and are not worth
  /// quoting.
  static bool name_like(const std::string& key) {
    return !key.empty() && key.size() <= 100 && printable(key) == key;
  }

  std::string source_;
  bool lines_;
  int count_ = 0;
  int keys_ = 0;
};

/// Finds where the documents of a text start. yaml-cpp's Load reads the first and ignores the
/// rest. Its LoadAll doesn't end on stray text such as a leading comma.
class Documents : public YAML::EventHandler {
 public:
  std::vector<YAML::Mark> starts;

  explicit Documents(const std::string& text) {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (starts.size() < 2 && parser.HandleNextDocument(*this)) {
    }
  }

 private:
  using Style = YAML::EmitterStyle::value;
  void OnDocumentStart(const YAML::Mark& mark) override { starts.push_back(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, Style) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, Style) override {}
  void OnMapEnd() override {}
};

/// JSON writes a character beyond 16 bits as a pair, \ud83d\ude00. YAML has one escape instead,
/// \U0001f600, which this function writes for each pair.
std::string with_single_escapes(const std::string& text) {
  static const auto half = [](std::string_view escape, unsigned first) {
    unsigned code = 0;
    if (escape.size() < 6 || !escape.starts_with("\\u")) return -1;
    const char* const end = escape.data() + 6;
    const auto [stop, error] = std::from_chars(escape.data() + 2, end, code, 16);
    const bool in_range =
        error == std::errc{} && stop == end && code >= first && code < first + 0x400;
    return in_range ? static_cast<int>(code - first) : -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view rest = std::string_view(text).substr(i);
    const int high = half(rest, 0xd800);
    const int low = high < 0 ? -1 : half(rest.substr(6), 0xdc00);
    if (low >= 0) {
      out += fmt::format("\\U{:08x}", 0x10000 + (high << 10) + low);
      i += 12;
      continue;
    }
    const std::size_t n = rest.front() == '\\' ? 2 : 1;  // an escape's own character
    out += rest.substr(0, n);
    i += n;
  }
  return out;
}

[[noreturn]] void fail_at(const YamlFault& fault, const std::string& text,
                          const std::string& name) {
  fail(Place{name, fault.line, fault.column}, "YAML error: {}{}", fault.message,
       shown_line(text, fault));
}

/// yaml-cpp takes the end of the text for the end of a quoted one.
void require_closed_quotes(const std::string& text, const std::string& name) {
  if (const auto fault = open_quote(text)) fail_at(*fault, text, name);
}

/// The only document of a text.
YAML::Node load(const std::string& text, const std::string& name, bool lines) {
  const auto place = [&](const YAML::Mark& at) {
    return lines ? Place{name, at.line + 1, at.column + 1} : Place{name, 0, 0};
  };
  try {
    const Documents documents(text);
    if (documents.starts.size() > 1) {
      fail(place(documents.starts[1]),
           "YAML error: stray text or a second document after the deck's end; a deck is one "
           "dictionary");
    }
    if (lines) require_closed_quotes(text, name);
    return YAML::Load(text);
  } catch (const YAML::Exception& e) {
    const std::string plain = with_single_escapes(text);
    if (plain != text) return load(plain, name, lines);
    if (!lines || e.mark.is_null()) fail(place(e.mark), "YAML error: {}", e.msg);
    fail_at(true_fault(text, {e.mark.line + 1, e.mark.column + 1, e.msg}), text, name);
  }
}

}  // namespace

std::string Place::str() const {
  const std::string name = printable(source);
  return line > 0 ? fmt::format("{}:{}:{}", name, line, column) : name;
}

const Value* Value::find(std::string_view key) const {
  const auto at = std::ranges::find(entries, key, &Entry::key);
  return at == entries.end() ? nullptr : &at->value;
}

std::string Value::plain() const {
  std::string s;
  switch (kind) {
    case Kind::null:
      return "nothing";
    case Kind::scalar:
      s = text;
      break;
    case Kind::list:
      for (const Value& v : items) {
        s += (s.empty() ? "[" : ", ") + v.plain();
        if (s.size() > kShownCharacters) break;
      }
      s = s.empty() ? "[]" : s + "]";
      break;
    case Kind::map:
      for (const Entry& e : entries) {
        s += (s.empty() ? "{" : ", ") + e.key + ": " + e.value.plain();
        if (s.size() > kShownCharacters) break;
      }
      s = s.empty() ? "{}" : s + "}";
      break;
  }
  return shortened(s, kShownCharacters);
}

std::string Value::str() const {
  return kind == Kind::scalar ? fmt::format("'{}'", plain()) : plain();
}

std::string with_underscores(std::string_view key) {
  std::string s(key);
  std::ranges::replace(s, '-', '_');
  return s;
}

Value parse_tree(const std::string& text, const std::string& name) {
  if (text.find('\0') != std::string::npos) {
    throw Error(fmt::format("{}: this is not a text file; a deck is YAML or JSON", name));
  }
  Value v = Copier(name, true).copy(load(text, name, true), 0);
  if (v.kind == Value::Kind::null) v.kind = Value::Kind::map;
  if (v.kind != Value::Kind::map) {
    fail(v.place, "a deck is a dictionary of keys and values, but this is {}", v.str());
  }
  return v;
}

Value parse_override(const std::string& text) {
  constexpr std::size_t kShownOverride = 200;
  const Place place{fmt::format("--set {}", shortened(text, kShownOverride)), 0, 0};
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) fail(place, "expects key=value");
  Value v =
      Copier(place.source, false).copy(load(text.substr(equals + 1), place.source, false), 0);
  std::string path = with_underscores(text.substr(0, equals));
  std::erase(path, ' ');
  if (std::ranges::count(path, '.') >= kMaxDepth) {
    fail(place, "a key may be nested {} deep, and this one is nested deeper", kMaxDepth);
  }
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
