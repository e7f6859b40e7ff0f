// SPDX-License-Identifier: Apache-2.0
// Which tokens belong to sample k: pure arithmetic, O(1), without index files. A position in
// the data is therefore one number, equal for every mesh and batch layout.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace trireme {

/// A bijection of [0, n) onto itself, keyed by (seed, epoch) and computed in O(1). A Feistel
/// network (Luby and Rackoff, doi:10.1137/0217022) permutes the numbers of the next even number
/// of bits. The network is applied until its result lies within n, on average under four times.
/// This is the cycle walking of Black and Rogaway, doi:10.1007/3-540-45760-7_9.
class Permutation {
 public:
  /// 1 ≤ n < 2^62.
  Permutation(std::int64_t n, std::uint64_t seed, std::uint64_t epoch);
  [[nodiscard]] std::int64_t operator()(std::int64_t i) const;

 private:
  static constexpr int kRounds = 6;
  std::uint64_t n_;
  unsigned half_bits_;
  std::array<std::uint64_t, kRounds> keys_{};
};

/// Tokens [begin, end) of a file.
struct TokenRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t count() const { return end - begin; }
};

/// How many samples of `seq_length` + 1 tokens, overlapping by one, lie in `tokens`.
[[nodiscard]] std::int64_t samples_in(std::int64_t tokens, std::int64_t seq_length);

/// The parts of a data set that `split` names, in its order.
enum class Part : std::uint8_t { train, valid, test };
[[nodiscard]] std::string_view name_of(Part part);

/// Parses "969, 30, 1": the numbers of train, valid and test as they are written. Commas or
/// slashes stand between one to three numbers; none is below 0, and one is above. Throws Error
/// on anything else.
[[nodiscard]] std::array<double, 3> split_numbers(std::string_view split);
/// These numbers as shares that add up to 1.
[[nodiscard]] std::array<double, 3> parse_split(std::string_view split);

/// The document at which each part begins, and the end of the last part. Rounding follows
/// Megatron, so a deck selects the documents that Megatron would.
[[nodiscard]] std::array<std::int64_t, 4> split_documents(const std::array<double, 3>& shares,
                                                          std::int64_t documents);

/// GPT-NeoX's weights for weight_by_num_documents. With p the share of each file among all
/// documents, a file's weight is p^alpha / Σ p^alpha · (1 − p), scaled to add up to 1. A single
/// file has weight 1. Throws Error if no file has a document.
[[nodiscard]] std::vector<double> weights_by_documents(
    const std::vector<std::int64_t>& documents, double alpha);

/// Draws from several sources in fixed proportions. The order repeats after period(). Within a
/// period, each draw goes to the source that is furthest behind its share (error diffusion).
/// After any number of draws, each source is within about one sample of its share.
class Blend {
 public:
  /// Requires weights of at least 0, not all 0. Each weight above 0 gets at least one draw a
  /// period.
  explicit Blend(const std::vector<double>& weights);

  struct Draw {
    std::size_t source;
    std::uint64_t index;  ///< earlier draws from this source
  };
  [[nodiscard]] Draw operator()(std::uint64_t k) const;
  [[nodiscard]] std::uint64_t period() const { return order_.size(); }
  [[nodiscard]] std::uint64_t draws_in_period(std::size_t source) const {
    return counts_[source];
  }

 private:
  std::vector<std::uint64_t> counts_;
  std::vector<Draw> order_;
};

}  // namespace trireme
