// SPDX-License-Identifier: Apache-2.0
// Which tokens sample k is: pure arithmetic, O(1), without index files. So the position in the
// data is one number, the same for every mesh and batch layout.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace trireme {

/// A bijection of [0, n) onto itself, keyed by (seed, epoch) and computed in O(1): a Feistel
/// network (Luby and Rackoff, doi:10.1137/0217022) on the next even number of bits, walked
/// until it lands within n (Black and Rogaway, doi:10.1007/3-540-45760-7_9); under four steps
/// on average.
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

/// "969, 30, 1" → shares of train, valid and test that add up to 1. One to three numbers not
/// below 0, not all 0, between commas or slashes; throws Error on anything else.
[[nodiscard]] std::array<double, 3> parse_split(std::string_view split);

/// The document at which each part begins, and the end of the last. Rounded as Megatron rounds,
/// so that a deck means the same documents here.
[[nodiscard]] std::array<std::int64_t, 4> cut_documents(const std::array<double, 3>& shares,
                                                        std::int64_t documents);

/// Draws from several sources in fixed proportions. The order repeats after period(); within it
/// each draw goes to the source that is furthest behind its share (error diffusion), so the
/// proportions hold at every length to about one sample a source.
class Blend {
 public:
  /// Weights are not below 0, not all 0. Each weight above 0 gets at least one draw a period.
  explicit Blend(const std::vector<double>& weights);

  struct Draw {
    std::size_t source;
    std::uint64_t index;  ///< draws from this source before this one
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
