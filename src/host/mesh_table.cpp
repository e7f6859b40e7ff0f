// SPDX-License-Identifier: Apache-2.0
// Groups hosts that do similar work.
#include "trireme/host/mesh_table.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <functional>
#include <unordered_map>

#include <fmt/format.h>

namespace trireme {

namespace {

/// One host, or several that share a line.
struct Row {
  std::vector<std::string> hosts;
  std::vector<int> ranks;
  std::vector<std::string> devices;    ///< the first host's, in rank order
  std::array<std::vector<int>, 3> at;  ///< dp, tp, pp: ascending, each once
  std::array<std::size_t, 3> held{};   ///< how many of these numbers each host holds
};

void sort_once(std::vector<int>& numbers) {
  std::ranges::sort(numbers);
  numbers.erase(std::ranges::unique(numbers).begin(), numbers.end());
}

std::vector<Row> rows_by_host(const MeshShape& shape, const std::vector<RankPlace>& places) {
  std::vector<Row> rows;
  std::unordered_map<std::string, std::size_t> known;
  for (int rank = 0; rank < static_cast<int>(places.size()); ++rank) {
    const RankPlace& place = places[static_cast<std::size_t>(rank)];
    const auto [entry, fresh] = known.try_emplace(place.host, rows.size());
    if (fresh) rows.emplace_back().hosts = {place.host};
    Row& row = rows[entry->second];
    row.ranks.push_back(rank);
    row.devices.push_back(place.device);
    const MeshIndex at = index_of(shape, rank);
    row.at[0].push_back(at.dp);
    row.at[1].push_back(at.tp);
    row.at[2].push_back(at.pp);
  }
  for (Row& row : rows) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      sort_once(row.at[axis]);
      row.held[axis] = row.at[axis].size();
    }
  }
  return rows;
}

using Alike = std::function<bool(const Row&, const Row&)>;

bool same_kind(const Row& a, const Row& b) {
  return a.held == b.held && a.devices == b.devices;
}
bool same_stages(const Row& a, const Row& b) { return same_kind(a, b) && a.at[2] == b.at[2]; }

std::vector<Row> fold(const std::vector<Row>& rows, const Alike& alike) {
  std::vector<Row> folded;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    if (i == 0 || !alike(rows[i - 1], row)) {
      folded.push_back(row);
      continue;
    }
    Row& to = folded.back();
    to.hosts.insert(to.hosts.end(), row.hosts.begin(), row.hosts.end());
    to.ranks.insert(to.ranks.end(), row.ranks.begin(), row.ranks.end());
    for (std::size_t axis = 0; axis < 3; ++axis) {
      to.at[axis].insert(to.at[axis].end(), row.at[axis].begin(), row.at[axis].end());
    }
  }
  for (Row& row : folded) {
    std::ranges::sort(row.ranks);
    for (auto& numbers : row.at) sort_once(numbers);
  }
  return folded;
}

std::string devices_text(std::vector<std::string> devices) {
  std::ranges::sort(devices);
  std::string text;
  for (auto at = devices.begin(); at != devices.end();) {
    const auto next = std::upper_bound(at, devices.end(), *at);
    text += fmt::format("{}{} × {}", text.empty() ? "" : ", ", next - at, *at);
    at = next;
  }
  return text;
}

/// Columns of `text` on a terminal: its characters, which are all narrow here.
std::size_t columns(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::vector<std::string> align(const std::vector<std::vector<std::string>>& cells) {
  std::vector<std::size_t> widths(cells.front().size());
  for (const auto& row : cells) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], columns(row[i]));
    }
  }
  std::vector<std::string> lines;
  for (const auto& row : cells) {
    std::string& line = lines.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - columns(row[i]) + 2, ' ');
    }
  }
  return lines;
}

/// Whether the digits that differ count one up from `name` to `next`: node9, node10; a09x,
/// a10x.
bool follows(const std::string& name, const std::string& next) {
  const auto digit = [&](std::size_t i) { return name[i] >= '0' && name[i] <= '9'; };
  auto begin = static_cast<std::size_t>(std::ranges::mismatch(name, next).in1 - name.begin());
  std::size_t end = begin;
  while (begin > 0 && digit(begin - 1)) --begin;
  while (end < name.size() && digit(end)) ++end;
  std::int64_t number = 0;
  const char* last = name.data() + end;
  if (begin == end || std::from_chars(name.data() + begin, last, number).ptr != last) {
    return false;
  }
  return next == fmt::format("{}{:0{}}{}", name.substr(0, begin), number + 1, end - begin,
                             name.substr(end));
}

/// Removes the domain if all hosts have the same one.
void shorten_hosts(std::vector<Row>& rows) {
  const std::string& first = rows.front().hosts.front();
  const auto dot = first.find('.');
  if (dot == std::string::npos || (first[0] >= '0' && first[0] <= '9')) return;
  const std::string domain = first.substr(dot);
  const auto has_it = [&](const Row& row) {
    const std::string& name = row.hosts.front();
    return name.find('.') != name.npos && name.substr(name.find('.')) == domain;
  };
  if (!std::ranges::all_of(rows, has_it)) return;
  for (Row& row : rows) row.hosts.front().resize(row.hosts.front().find('.'));
}

}  // namespace

std::string host_range(const std::vector<std::string>& names) {
  if (names.size() == 1) return names.front();
  bool count_up = true;
  for (std::size_t i = 1; i < names.size() && count_up; ++i) {
    count_up = follows(names[i - 1], names[i]);
  }
  return fmt::format("{}{}{} ({} hosts)", names.front(), count_up ? "–" : " … ", names.back(),
                     names.size());
}

std::string number_range(const std::vector<int>& numbers) {
  const auto n = static_cast<int>(numbers.size());
  if (n == 1) return fmt::format("{}", numbers.front());
  if (numbers.back() - numbers.front() == n - 1) {
    return fmt::format("{}–{}", numbers.front(), numbers.back());
  }
  if (n <= 4) return fmt::format("{}", fmt::join(numbers, ", "));
  return fmt::format("{} … {} ({})", numbers.front(), numbers.back(), n);
}

std::vector<std::string> mesh_table(const MeshShape& shape,
                                    const std::vector<RankPlace>& places, std::size_t most) {
  std::vector<Row> hosts = rows_by_host(shape, places);
  shorten_hosts(hosts);
  std::vector<Row> rows = hosts;
  for (const auto& alike : {same_stages, same_kind}) {
    if (rows.size() > most) rows = fold(hosts, alike);
  }
  std::vector<std::vector<std::string>> cells = {
      {"hosts", "ranks", "devices", "dp", "tp", "pp"}};
  const std::size_t shown = rows.size() > most ? most - 1 : rows.size();
  std::size_t left_out = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    if (i >= shown) {
      left_out += row.hosts.size();
      continue;
    }
    const bool several = row.hosts.size() > 1;
    auto& line = cells.emplace_back();
    line.push_back(host_range(row.hosts));
    line.push_back(number_range(row.ranks) +
                   (several ? fmt::format(" ({} each)", row.devices.size()) : ""));
    line.push_back(devices_text(row.devices));
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const bool part = several && row.held[axis] < row.at[axis].size();
      line.push_back(number_range(row.at[axis]) +
                     (part ? fmt::format(" ({} each)", row.held[axis]) : ""));
    }
  }
  std::vector<std::string> lines = align(cells);
  if (left_out > 0) {
    lines.push_back(
        fmt::format("and {} more hosts of {} other kinds", left_out, rows.size() - shown));
  }
  return lines;
}

}  // namespace trireme
