// SPDX-License-Identifier: Apache-2.0
// Permutation, split and blending.
#include "trireme/data/sampler.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "trireme/core/error.hpp"
#include "trireme/core/random.hpp"

namespace trireme {

namespace {

/// Every bit of the result depends on every bit of x.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 32U)) * 0xd6e8feb86659fd93U;
  x = (x ^ (x >> 32U)) * 0xd6e8feb86659fd93U;
  return x ^ (x >> 32U);
}

/// Draws of each source in a period: its exact share rounded down, but at least one. The
/// remaining draws go to the sources furthest below their exact shares.
std::vector<std::uint64_t> counts_in(const std::vector<double>& weights, std::uint64_t length) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  const bool valid = std::all_of(weights.begin(), weights.end(),
                                 [](double w) { return std::isfinite(w) && w >= 0; });
  TRM_REQUIRE(valid && sum > 0 && std::isfinite(sum),
              "data weights must not be below 0, and at least one must be above");
  std::vector<std::uint64_t> counts(weights.size());
  std::vector<double> excess(weights.size());  // above the exact share
  std::uint64_t total = 0;
  for (std::size_t d = 0; d < weights.size(); ++d) {
    const double exact = weights[d] / sum * static_cast<double>(length);
    counts[d] = std::max<std::uint64_t>(static_cast<std::uint64_t>(exact), weights[d] > 0);
    excess[d] = weights[d] > 0 ? static_cast<double>(counts[d]) - exact : INFINITY;
    total += counts[d];
  }
  for (; total < length; ++total) {
    const auto d = std::min_element(excess.begin(), excess.end()) - excess.begin();
    counts[static_cast<std::size_t>(d)] += 1;
    excess[static_cast<std::size_t>(d)] += 1;
  }
  // Many tiny weights that were raised to one draw can add up to too much.
  for (; total > length; --total) --*std::max_element(counts.begin(), counts.end());
  return counts;
}

}  // namespace

Permutation::Permutation(std::int64_t n, std::uint64_t seed, std::uint64_t epoch)
    : n_(static_cast<std::uint64_t>(n)) {
  TRM_CHECK(n >= 1 && n < (std::int64_t{1} << 62U), "a permutation of {}", n);
  const auto bits = static_cast<unsigned>(std::bit_width(n_ - 1));
  half_bits_ = std::max(1U, (bits + 1) / 2);
  const RngKey key{seed, stream_of("sample order")};
  for (std::uint32_t r = 0; r < kRounds; ++r) {
    const auto words = philox(key, epoch, r);
    keys_[r] = (std::uint64_t{words[0]} << 32U) | words[1];
  }
}

std::int64_t Permutation::operator()(std::int64_t i) const {
  TRM_CHECK(i >= 0 && static_cast<std::uint64_t>(i) < n_, "{} of {}", i, n_);
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  auto x = static_cast<std::uint64_t>(i);
  do {
    std::uint64_t left = x >> half_bits_;
    std::uint64_t right = x & mask;
    for (const std::uint64_t key : keys_) {
      const std::uint64_t next = left ^ (mix(right ^ key) & mask);
      left = right;
      right = next;
    }
    x = (left << half_bits_) | right;
  } while (x >= n_);
  return static_cast<std::int64_t>(x);
}

std::int64_t samples_in(std::int64_t tokens, std::int64_t seq_length) {
  return tokens < 1 ? 0 : (tokens - 1) / seq_length;
}

std::string_view name_of(Part part) {
  constexpr std::array<std::string_view, 3> kNames{"train", "valid", "test"};
  return kNames[static_cast<std::size_t>(part)];
}

std::array<double, 3> split_numbers(std::string_view split) {
  std::array<double, 3> shares{};
  std::size_t n = 0;
  std::size_t at = 0;
  while (at <= split.size()) {
    const std::size_t end = std::min(split.find_first_of(",/", at), split.size());
    std::string_view word = split.substr(at, end - at);
    at = end + 1;
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    double share = 0;
    const auto [stop, code] = std::from_chars(word.data(), word.data() + word.size(), share);
    TRM_REQUIRE(n < 3 && code == std::errc() && stop == word.data() + word.size() &&
                    std::isfinite(share) && share >= 0,
                "split \"{}\": it must be one to three numbers (train, valid, test), such as "
                "\"969, 30, 1\"",
                split);
    shares[n++] = share;
  }
  const double sum = shares[0] + shares[1] + shares[2];
  TRM_REQUIRE(sum > 0 && std::isfinite(sum), "split \"{}\": its sum must be above 0", split);
  return shares;
}

std::array<double, 3> parse_split(std::string_view split) {
  std::array<double, 3> shares = split_numbers(split);
  const double sum = shares[0] + shares[1] + shares[2];
  for (double& share : shares) share /= sum;
  return shares;
}

std::array<std::int64_t, 4> split_documents(const std::array<double, 3>& shares,
                                            std::int64_t documents) {
  // Each part is rounded by itself, halves to even. The resulting excess or deficit is
  // subtracted from every boundary, the last included.
  std::array<std::int64_t, 4> starts{};
  for (std::size_t i = 0; i < 3; ++i) {
    const double part = std::nearbyint(shares[i] * static_cast<double>(documents));
    starts[i + 1] = starts[i] + static_cast<std::int64_t>(part);
  }
  const std::int64_t excess = starts[3] - documents;
  for (std::size_t i = 1; i < 4; ++i) {
    starts[i] = std::clamp<std::int64_t>(starts[i] - excess, 0, documents);
  }
  return starts;
}

std::vector<double> weights_by_documents(const std::vector<std::int64_t>& documents,
                                         double alpha) {
  const auto all =
      static_cast<double>(std::accumulate(documents.begin(), documents.end(), std::int64_t{0}));
  TRM_REQUIRE(all > 0, "weight_by_num_documents: no data file has a document");
  if (documents.size() == 1) return {1.0};
  std::vector<double> weights;
  for (const std::int64_t n : documents) {
    const double p = static_cast<double>(n) / all;
    weights.push_back((n > 0 ? std::pow(p, alpha) : 0) * (1 - p));
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  // One file has all documents.
  if (sum == 0) {
    std::ranges::transform(documents, weights.begin(), [](auto n) { return n > 0; });
  }
  for (double& w : weights) w /= sum > 0 ? sum : 1;
  return weights;
}

Blend::Blend(const std::vector<double>& weights) {
  const std::uint64_t length = std::bit_ceil(std::max<std::uint64_t>(4096, 4 * weights.size()));
  counts_ = counts_in(weights, length);
  std::vector<std::uint64_t> drawn(weights.size());
  for (std::uint64_t j = 0; j < length; ++j) {
    std::size_t best = 0;
    std::int64_t furthest = std::numeric_limits<std::int64_t>::min();
    for (std::size_t d = 0; d < counts_.size(); ++d) {
      const auto behind = static_cast<std::int64_t>(counts_[d] * (j + 1)) -
                          static_cast<std::int64_t>(drawn[d] * length);
      if (counts_[d] > drawn[d] && behind > furthest) {
        furthest = behind;
        best = d;
      }
    }
    order_.push_back({best, drawn[best]++});
  }
}

Blend::Draw Blend::operator()(std::uint64_t k) const {
  const Draw& in_period = order_[k % order_.size()];
  return {in_period.source, k / order_.size() * counts_[in_period.source] + in_period.index};
}

}  // namespace trireme
