// SPDX-License-Identifier: Apache-2.0
// Figures as texts.
#include "trireme/core/figures.hpp"

#include <initializer_list>

#include <fmt/format.h>

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

}  // namespace trireme
