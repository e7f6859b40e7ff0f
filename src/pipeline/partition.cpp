// SPDX-License-Identifier: Apache-2.0
// Balanced partitions into consecutive units.
#include "trireme/pipeline/partition.hpp"

#include <algorithm>
#include <limits>

#include "trireme/core/error.hpp"
#include "trireme/model/name_pattern.hpp"

namespace trireme {

namespace {

constexpr std::string_view kTypePrefix = "type:";

/// What a method balances.
using Weight = std::int64_t PipelineUnit::*;

/// First item of each of `parts` parts of `items` items.
std::vector<int> even_bounds(int items, int parts) {
  std::vector<int> bounds;
  for (int i = 0; i <= parts; ++i) {
    bounds.push_back(i * (items / parts) + std::min(i, items % parts));
  }
  return bounds;
}

/// Whether `parts` non-empty parts of at most `limit` can hold all. Filling each
/// part to the brim is optimal, and a partition into fewer parts can be split further.
bool fits(std::span<const PipelineUnit> units, int parts, Weight weight, std::int64_t limit) {
  int used = 1;
  std::int64_t filled = 0;
  for (const PipelineUnit& u : units) {
    if (u.*weight > limit) return false;
    if (u.*weight > limit - filled) {
      ++used;
      filled = 0;
    }
    filled += u.*weight;
  }
  return used <= parts;
}

std::int64_t least_maximum(std::span<const PipelineUnit> units, int parts, Weight weight) {
  std::int64_t low = 0;
  std::int64_t high = 0;
  for (const PipelineUnit& u : units) high += u.*weight;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (fits(units, parts, weight, middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

/// Many partitions share the least maximum. This function finds the least sum of squares among
/// these partitions, by dynamic programming over (parts made, units used).
std::vector<int> bounds_by_weight(std::span<const PipelineUnit> units, int parts,
                                  Weight weight) {
  const auto n = units.size();
  const auto k = static_cast<std::size_t>(parts);
  const auto limit = static_cast<double>(least_maximum(units, parts, weight));
  constexpr double kImpossible = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> cost(k + 1, std::vector<double>(n + 1, kImpossible));
  std::vector<std::vector<std::size_t>> from(k + 1, std::vector<std::size_t>(n + 1, 0));
  cost[0][0] = 0;
  for (std::size_t p = 1; p <= k; ++p) {
    for (std::size_t end = p; end <= n; ++end) {
      double sum = 0;
      for (std::size_t begin = end; begin-- > p - 1;) {
        sum += static_cast<double>(units[begin].*weight);
        if (sum > limit) break;
        const double total = cost[p - 1][begin] + sum * sum;
        if (total < cost[p][end]) {
          cost[p][end] = total;
          from[p][end] = begin;
        }
      }
    }
  }
  TRM_CHECK(cost[k][n] < kImpossible, "no partition of {} units into {} parts", n, parts);
  std::vector<int> bounds(k + 1, static_cast<int>(n));
  for (std::size_t p = k, end = n; p > 0; --p) {
    end = from[p][end];
    bounds[p - 1] = static_cast<int>(end);
  }
  return bounds;
}

std::vector<int> matches_of(const std::string& pattern, std::span<const PipelineUnit> units) {
  std::vector<int> matches;
  try {
    const NamePattern type(pattern, NamePattern::Case::ignored);
    for (std::size_t i = 0; i < units.size(); ++i) {
      if (type.found_in(units[i].type)) matches.push_back(static_cast<int>(i));
    }
  } catch (const Error& e) {
    throw Error(fmt::format("pipe_partition_method: '{}' is not a regular expression ({})",
                            pattern, e.what()));
  }
  return matches;
}

std::vector<int> bounds_by_type(const std::string& pattern, std::span<const PipelineUnit> units,
                                int parts) {
  const std::vector<int> matches = matches_of(pattern, units);
  std::vector<std::string> types;
  for (const PipelineUnit& u : units) {
    if (std::find(types.begin(), types.end(), u.type) == types.end()) types.push_back(u.type);
  }
  TRM_REQUIRE(!matches.empty(),
              "pipe_partition_method: 'type:{}' matches no layer; the types here are {}",
              pattern, fmt::join(types, ", "));
  const auto found = static_cast<int>(matches.size());
  TRM_REQUIRE(found >= parts,
              "pipe_partition_method: 'type:{}' matches {} layers, fewer than the {} parts of "
              "the pipeline (stages × chunks); use fewer stages or another method",
              pattern, found, parts);
  std::vector<int> bounds = even_bounds(found, parts);
  for (int& c : bounds) c = c < found ? matches[static_cast<std::size_t>(c)] : c;
  bounds.front() = 0;
  bounds.back() = static_cast<int>(units.size());
  return bounds;
}

}  // namespace

std::vector<int> partition(std::string_view method, std::span<const PipelineUnit> units,
                           int parts) {
  TRM_CHECK(parts >= 1, "{} parts", parts);
  for (const PipelineUnit& u : units) {
    TRM_CHECK(u.parameters >= 0 && u.operations >= 0, "{} with {} parameters, {} operations",
              u.type, u.parameters, u.operations);
  }
  const auto n = static_cast<int>(units.size());
  TRM_REQUIRE(n >= parts,
              "the model has {} layers (embedding, norm and head included), fewer than the {} "
              "parts of the pipeline (stages × chunks)",
              n, parts);
  std::string name(method);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (name == "uniform") return even_bounds(n, parts);
  if (name == "parameters") return bounds_by_weight(units, parts, &PipelineUnit::parameters);
  if (name == "flops") return bounds_by_weight(units, parts, &PipelineUnit::operations);
  if (name.starts_with(kTypePrefix)) {
    return bounds_by_type(std::string(method.substr(kTypePrefix.size())), units, parts);
  }
  throw Error(
      fmt::format("pipe_partition_method '{}' is unknown; known are 'uniform', 'parameters', "
                  "'flops' and 'type:REGEX'",
                  method));
}

}  // namespace trireme
