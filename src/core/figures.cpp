// SPDX-License-Identifier: Apache-2.0
// Figures as texts, and sizes read from texts.
#include "trireme/core/figures.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

struct Unit {
  double value;
  const char* name;
};

/// Three or four digits with the largest unit that leaves at least 1.
std::string in_units(double x, std::initializer_list<Unit> units) {
  for (const Unit& unit : units) {
    const double y = x / unit.value;
    if (y >= 0.9995) return fmt::format("{:.{}f} {}", y, y < 9.995 ? 2 : 1, unit.name);
  }
  return {};
}

/// A power of 1000 or 1024 for "", "K", "KB", "KiB", …; 0 if the word is no unit.
double unit_value(std::string word) {
  for (char& c : word) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (word.empty() || word == "B" || word == "BYTES") return 1;
  constexpr std::string_view kLetters = "KMGTP";
  const std::size_t power = kLetters.find(word.front());
  if (power == std::string_view::npos) return 0;
  const std::string rest = word.substr(1);
  const bool decimal = rest == "B";
  if (!decimal && !rest.empty() && rest != "IB") return 0;
  return std::pow(decimal ? 1000.0 : 1024.0, static_cast<double>(power + 1));
}

}  // namespace

std::string grouped(std::int64_t n) {
  std::string text = fmt::format("{}", n);
  const std::size_t first = n < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

std::string count_text(std::int64_t n) {
  const std::string text = in_units(static_cast<double>(n),
                                    {{1e12, "trillion"}, {1e9, "billion"}, {1e6, "million"}});
  return text.empty() ? grouped(n) : text;
}

std::string decimal_size(std::int64_t bytes) {
  const std::string text = in_units(static_cast<double>(bytes),
                                    {{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}});
  return text.empty() ? fmt::format("{} bytes", bytes) : text;
}

std::int64_t parse_size(std::string_view text) {
  double number = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view rest =
      text.substr(static_cast<std::size_t>(code == std::errc() ? stop - text.data() : 0));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  const double bytes = number * unit_value(std::string(rest));
  TRM_REQUIRE(code == std::errc() && bytes >= 1 && bytes < 0x1p62,
              "'{}' is no size; expects a number and a unit, such as 80GiB", text);
  return static_cast<std::int64_t>(bytes);
}

}  // namespace trireme
