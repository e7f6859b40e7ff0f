// SPDX-License-Identifier: Apache-2.0
// Sampling from a row of logits.
#include "trireme/inference/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/random.hpp"

namespace trireme {

namespace {

struct Candidate {
  std::int32_t id;
  double logit;
};

bool comes_first(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// Where the first of the greatest logits is, or the first NaN.
std::size_t greatest(std::span<const float> logits) {
  std::size_t at = 0;
  float most = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] <= most) continue;
    at = i;
    most = logits[i];
    if (std::isnan(most)) break;
  }
  return at;
}

/// Divides the logits of tokens that occurred if positive, and multiplies negative ones.
void penalize(std::vector<float>& logits, double penalty,
              std::span<const std::int32_t> earlier) {
  std::vector<std::int32_t> once(earlier.begin(), earlier.end());
  std::ranges::sort(once);
  once.erase(std::unique(once.begin(), once.end()), once.end());
  for (const std::int32_t id : once) {
    float& x = logits[static_cast<std::size_t>(id)];
    x = static_cast<float>(x > 0 ? x / penalty : x * penalty);
  }
}

double sum_of_exponentials(const std::vector<Candidate>& all, double max) {
  double sum = 0;
  for (const Candidate& c : all) sum += std::exp(c.logit - max);
  return sum;
}

/// Keeps the first k, and those that equal the last of them.
void keep_top_k(std::vector<Candidate>& all, std::int64_t k) {
  if (k <= 0 || k >= static_cast<std::int64_t>(all.size())) return;
  const auto last = all.begin() + (k - 1);
  std::nth_element(all.begin(), last, all.end(), comes_first);
  const double least = last->logit;
  std::erase_if(all, [&](const Candidate& c) { return c.logit < least; });
}

/// Keeps the fewest first ones that have the probability `p` together. They are found among
/// ever more of the first.
void keep_top_p(std::vector<Candidate>& all, double p, double max) {
  if (p <= 0 || p >= 1) return;
  const double enough = p * sum_of_exponentials(all, max);
  double sum = 0;
  std::size_t done = 0;
  for (std::size_t sorted = 256; done < all.size(); sorted *= 4) {
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(sorted, all.size()));
    std::partial_sort(all.begin() + static_cast<std::ptrdiff_t>(done), end, all.end(),
                      comes_first);
    for (; done < std::min(sorted, all.size()); ++done) {
      sum += std::exp(all[done].logit - max);
      if (sum < enough) continue;
      all.resize(done + 1);
      return;
    }
  }
}

std::int32_t draw_among(std::vector<Candidate>& all, double max, double uniform) {
  std::ranges::sort(all, {}, &Candidate::id);
  const double wanted = uniform * sum_of_exponentials(all, max);
  double sum = 0;
  for (const Candidate& c : all) {
    sum += std::exp(c.logit - max);
    if (sum >= wanted) return c.id;
  }
  return all.back().id;
}

}  // namespace

double draw(const DrawKey& key) {
  const std::uint32_t stream = stream_of("generate") ^ (key.sample * 0x9e3779b9U);
  const auto words = philox({key.seed, stream}, key.prompt, key.position);
  const std::uint64_t both = std::uint64_t{words[0]} << 32U | words[1];
  return (static_cast<double>(both >> 12U) + 0.5) * 0x1p-52;
}

ChosenToken choose_token(std::span<const float> logits, const Sampling& sampling,
                         std::span<const std::int32_t> earlier, double uniform) {
  TRM_CHECK(!logits.empty(), "no logits to choose from");
  const std::size_t first_of_all = greatest(logits);
  const double top = logits[first_of_all];
  TRM_REQUIRE(std::isfinite(top),
              "the model's logits are not finite: its weights are damaged, "
              "or too large for the precision");
  const auto chosen = [&](std::int32_t id) {
    if (!sampling.log_probabilities) return ChosenToken{id, 0};
    double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<double>(x) - top);
    const double mine = logits[static_cast<std::size_t>(id)];
    return ChosenToken{id, static_cast<float>(mine - top - std::log(sum))};
  };
  if (!sampling.draws() && sampling.repetition_penalty == 1) {
    return chosen(static_cast<std::int32_t>(first_of_all));
  }
  std::vector<float> own(logits.begin(), logits.end());
  if (sampling.repetition_penalty != 1) penalize(own, sampling.repetition_penalty, earlier);
  const auto first = std::ranges::max_element(own);
  if (!sampling.draws()) return chosen(static_cast<std::int32_t>(first - own.begin()));
  const double scale = sampling.temperature > 0 ? 1 / sampling.temperature : 1;
  TRM_REQUIRE(std::isfinite(scale),
              "a temperature of {} is too small: 0 takes the most probable token",
              sampling.temperature);
  const double max = *first * scale;
  const double least = sampling.min_p > 0 ? max + std::log(sampling.min_p) : -HUGE_VAL;
  std::vector<Candidate> all;
  all.reserve(own.size());
  for (std::size_t i = 0; i < own.size(); ++i) {
    all.push_back({static_cast<std::int32_t>(i), own[i] * scale});
  }
  keep_top_k(all, sampling.top_k);
  keep_top_p(all, sampling.top_p, max);
  std::erase_if(all, [&](const Candidate& c) { return c.logit < least; });
  return chosen(draw_among(all, max, uniform));
}

}  // namespace trireme
