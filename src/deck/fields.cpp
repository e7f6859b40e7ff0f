// SPDX-License-Identifier: Apache-2.0
// Converts a deck's value to and from its field: types, ranges, and text that reads back
// exactly.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "schema.hpp"

namespace trireme::deck {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

/// The text without the underscores between digits that YAML 1.1 allows: 20_000, 1_000.5.
std::string without_underscores(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) {
      return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0;
    };
    if (text[i] == '_' && i > 0 && digit(i - 1) && digit(i + 1)) continue;
    plain += text[i];
  }
  return plain;
}

std::optional<double> to_real(std::string_view written) {
  const std::string plain = without_underscores(written);
  std::string_view text = plain;
  if (text.starts_with('+')) text.remove_prefix(1);
  double x = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(x)) {
    return std::nullopt;
  }
  return x;
}

/// Accepts 1e5 and 64.0 too. Beyond 2^53, a number must be written out.
std::optional<std::int64_t> to_integer(std::string_view written) {
  const std::string plain = without_underscores(written);
  std::string_view text = plain;
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error == std::errc{} && end == text.data() + text.size()) return n;
  const std::optional<double> x = to_real(text);
  if (!x || std::trunc(*x) != *x || std::abs(*x) > 0x1p53) return std::nullopt;
  return static_cast<std::int64_t>(*x);
}

std::optional<bool> to_flag(std::string_view text) {
  for (const std::string_view yes : {"true", "yes", "on"}) {
    if (same_word(text, yes)) return true;
  }
  for (const std::string_view no : {"false", "no", "off"}) {
    if (same_word(text, no)) return false;
  }
  return std::nullopt;
}

/// Stores one value in the field of one key. Throws Error that names the value's source and
/// line.
class Setter {
 public:
  Setter(const Key& key, const Value& value) : key_(key), value_(value) {}

  void operator()(bool* x) const {
    const auto b = to_flag(scalar(value_, "true or false"));
    if (!b) wrong("true or false", value_);
    *x = *b;
  }
  void operator()(int* x) const {
    const std::int64_t n = integer(value_);
    if (n < std::numeric_limits<int>::min() || n > std::numeric_limits<int>::max()) {
      fail(value_.place, "{}: {} is too large", key_.path, n);
    }
    *x = static_cast<int>(n);
  }
  void operator()(std::int64_t* x) const { *x = integer(value_); }
  void operator()(std::uint64_t* x) const { *x = static_cast<std::uint64_t>(integer(value_)); }
  void operator()(double* x) const { *x = real(value_); }
  void operator()(std::string* x) const {
    if (value_.kind != Value::Kind::list) {
      *x = scalar(value_, "text");
      return;
    }
    x->clear();  // split: [969, 30, 1]
    for (const Value& v : value_.items) *x += (x->empty() ? "" : ", ") + scalar(v, "text");
  }
  void operator()(std::vector<std::string>* x) const {
    x->clear();
    for (const Value& v : items()) x->push_back(scalar(v, "text or a list of texts"));
  }
  void operator()(std::vector<std::int64_t>* x) const {
    x->clear();
    for (const Value& v : items()) x->push_back(integer(v));
  }
  void operator()(std::vector<double>* x) const {
    x->clear();
    for (const Value& v : items()) x->push_back(real(v));
  }
  void operator()(std::vector<LrGroup>* x) const {
    x->clear();
    for (const Value& v : items()) x->push_back(lr_group(v));
  }
  void operator()(const Enumerated& e) const {
    const std::string expected = field_type(e);
    const std::string& text = scalar(value_, expected);
    for (const Choice& choice : e.choices) {
      if (!same_word(choice.name, text)) continue;
      if (!choice.refusal.empty()) {
        fail(value_.place, "{}: {} is not available: {}", key_.path, choice.name,
             choice.refusal);
      }
      *e.value = choice.value;
      return;
    }
    wrong(expected, value_);
  }

 private:
  [[noreturn]] void wrong(std::string_view expected, const Value& v) const {
    fail(v.place, "{} expects {}, got {}", key_.path, expected, v.str());
  }
  [[nodiscard]] const std::string& scalar(const Value& v, std::string_view expected) const {
    if (v.kind != Value::Kind::scalar) wrong(expected, v);
    return v.text;
  }
  [[nodiscard]] LrGroup lr_group(const Value& v) const {
    const std::string expected =
        "{match: REGEX, lr_scale: factor, weight_decay: number}, or a list of these";
    if (v.kind != Value::Kind::map || v.find("match") == nullptr) wrong(expected, v);
    LrGroup group;
    for (const Entry& entry : v.entries) {
      const Value& of = entry.value;
      if (entry.key == "match") {
        group.match = scalar(of, expected);
      } else if (entry.key == "lr_scale") {
        group.lr_scale = not_negative(of);
      } else if (entry.key == "weight_decay") {
        if (of.kind != Value::Kind::null) group.weight_decay = not_negative(of);
      } else {
        fail(entry.place, "{}: '{}' is none of match, lr_scale and weight_decay", key_.path,
             entry.key);
      }
    }
    return group;
  }
  [[nodiscard]] double not_negative(const Value& v) const {
    const double x = real(v);
    if (x < 0) fail(v.place, "{}: a number must be ≥ 0, is {}", key_.path, v.text);
    return x;
  }
  /// Treats a single value as a list of one.
  [[nodiscard]] std::span<const Value> items() const {
    if (value_.kind == Value::Kind::list) return value_.items;
    return {&value_, 1};
  }
  [[nodiscard]] std::int64_t integer(const Value& v) const {
    const auto n = to_integer(scalar(v, "an integer"));
    if (!n) wrong("an integer", v);
    in_range(static_cast<double>(*n), v);
    return *n;
  }
  [[nodiscard]] double real(const Value& v) const {
    const auto x = to_real(scalar(v, "a number"));
    if (!x) wrong("a number", v);
    in_range(*x, v);
    return *x;
  }
  void in_range(double x, const Value& v) const {
    if (!key_.range.holds(x)) {
      fail(v.place, "{} must be {}, is {}", key_.path, key_.range.str(), v.text);
    }
  }

  const Key& key_;
  const Value& value_;
};

std::string in_quotes(std::string_view text) {
  std::string s = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      s += {'\\', c};
    } else if (static_cast<unsigned char>(c) < ' ') {
      s += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      s += c;
    }
  }
  return s + "\"";
}

template <class T, class F>
std::string listed(const std::vector<T>& values, F one) {
  std::string s;
  for (const T& v : values) s += (s.empty() ? "" : ", ") + one(v);
  return "[" + s + "]";
}

std::string lr_group_text(const LrGroup& g) {
  const std::string decay =
      g.weight_decay ? fmt::format(", weight_decay: {}", *g.weight_decay) : "";
  return fmt::format("{{match: {}, lr_scale: {}{}}}", in_quotes(g.match), g.lr_scale, decay);
}

/// The shortest text that reads back as the same number.
constexpr auto kNumberText = [](auto x) { return fmt::format("{}", x); };

}  // namespace

bool Range::holds(double x) const {
  return (above_low ? x > low : x >= low) && (below_high ? x < high : x <= high);
}

std::string Range::str() const {
  std::string s;
  if (std::isfinite(low)) s = fmt::format("{} {}", above_low ? ">" : "≥", low);
  if (!std::isfinite(high)) return s;
  return fmt::format("{}{}{} {}", s, s.empty() ? "" : " and ", below_high ? "<" : "≤", high);
}

bool same_scalar(std::string_view a, std::string_view b) {
  if (b.size() >= 2 && b.starts_with('"') && b.ends_with('"')) b = b.substr(1, b.size() - 2);
  if (same_word(a, b)) return true;
  const auto x = to_real(a);
  return x && x == to_real(b);
}

bool is_refused(const Key& key, const Value& value) {
  Draft draft;
  const Field field = key.field(draft);
  const auto* choice = std::get_if<Enumerated>(&field);
  return choice != nullptr && value.kind == Value::Kind::scalar &&
         std::ranges::any_of(choice->choices, [&](const Choice& c) {
           return !c.refusal.empty() && same_word(c.name, value.text);
         });
}

void set_field(const Key& key, Draft& draft, const Value& value) {
  const Field field = key.field(draft);
  const bool none = value.kind == Value::Kind::null ||
                    (value.kind == Value::Kind::scalar && !value.quoted &&
                     value.text == "None" && !std::holds_alternative<Enumerated>(field));
  if (none) return;
  std::visit(Setter(key, value), field);
}

std::string field_text(const Key& key, Draft& draft) {
  const bool open = key.need == Need::open;
  const auto number = [open](auto x) {
    return open && x == 0 ? std::string("null") : kNumberText(x);
  };
  return std::visit(
      Overloaded{
          [](const bool* x) { return std::string(*x ? "true" : "false"); },
          [&](const int* x) { return number(*x); },
          [&](const std::int64_t* x) { return number(*x); },
          [&](const std::uint64_t* x) { return number(*x); },
          [&](const double* x) { return number(*x); },
          [&](const std::string* x) { return open && x->empty() ? "null" : in_quotes(*x); },
          [&](const std::vector<std::string>* x) {
            return open && x->empty() ? "null" : listed(*x, in_quotes);
          },
          [&](const std::vector<std::int64_t>* x) {
            return open && x->empty() ? "null" : listed(*x, kNumberText);
          },
          [&](const std::vector<double>* x) {
            return open && x->empty() ? "null" : listed(*x, kNumberText);
          },
          [&](const std::vector<LrGroup>* x) {
            return open && x->empty() ? "null" : listed(*x, lr_group_text);
          },
          [](const Enumerated& e) {
            const auto at = std::ranges::find_if(e.choices, [&](const Choice& c) {
              return c.refusal.empty() && c.value == *e.value;
            });
            TRM_CHECK(at != e.choices.end(), "an enumeration's value {} has no name", *e.value);
            return std::string(at->name);
          }},
      key.field(draft));
}

std::string field_type(const Field& field) {
  return std::visit(
      Overloaded{
          [](const bool*) { return std::string("true or false"); },
          [](const int*) { return std::string("integer"); },
          [](const std::int64_t*) { return std::string("integer"); },
          [](const std::uint64_t*) { return std::string("integer"); },
          [](const double*) { return std::string("number"); },
          [](const std::string*) { return std::string("text"); },
          [](const std::vector<std::string>*) { return std::string("list of texts"); },
          [](const std::vector<std::int64_t>*) { return std::string("list of integers"); },
          [](const std::vector<double>*) { return std::string("list of numbers"); },
          [](const std::vector<LrGroup>*) { return std::string("list of dictionaries"); },
          [](const Enumerated& e) {
            std::string names;
            for (const Choice& c : e.choices) {
              if (c.refusal.empty()) {
                names += (names.empty() ? "one of " : ", ") + std::string(c.name);
              }
            }
            return names;
          }},
      field);
}

}  // namespace trireme::deck
