// SPDX-License-Identifier: Apache-2.0
// Where codes, scales and fp32 moments lie, and how a checkpoint reads and writes them.
#include "eight_bit_state.hpp"

#include <algorithm>
#include <cstring>

#include "trireme/core/round_up.hpp"
#include "trireme/ops/eight_bit.hpp"

namespace trireme {

namespace {

using eight_bit::kBlock;

const eight_bit::Map& map_of(int moment) {
  return moment == 0 ? eight_bit::signed_map() : eight_bit::unsigned_map();
}

}  // namespace

/// A moment in host memory.
class EightBitState::Moment final : public StoredArray {
 public:
  Moment(std::shared_ptr<EightBitState> all, int number)
      : all_(std::move(all)), number_(number) {}
  [[nodiscard]] DType dtype() const override { return DType::f32; }
  [[nodiscard]] bool may_be_copied() const override { return true; }
  void read(std::int64_t first, std::int64_t count, void* to) override {
    auto* out = static_cast<float*>(to);
    by_stretch(first, count, [&](const Home& home, std::int64_t from, std::int64_t n) {
      if (home.coded) {
        std::array<float, kBlock> block;
        map_of(number_).decode_exactly(codes(home, from), *scale(home, from),
                                       in_block(home, from), block.data());
        std::copy_n(block.data() + from % kBlock, n, out);
      } else {
        std::copy_n(wide(home, from), n, out);
      }
      out += n;
    });
  }
  void write(std::int64_t first, std::int64_t count, const void* from) override {
    const auto* in = static_cast<const float*>(from);
    by_stretch(first, count, [&](const Home& home, std::int64_t at, std::int64_t n) {
      if (home.coded) {
        if (at % kBlock == 0) filled_ = 0;  // also after a load that failed
        TRM_CHECK(filled_ == at % kBlock, "a block is written from element {} on, after {}",
                  at % kBlock, filled_);
        std::copy_n(in, n, open_.data() + filled_);
        filled_ += n;
        if (filled_ == in_block(home, at)) {
          *scale(home, at) = map_of(number_).encode(open_.data(), filled_, codes(home, at));
          filled_ = 0;
        }
      } else {
        std::copy_n(in, n, wide(home, at));
      }
      in += n;
    });
  }

 private:
  /// Calls f(home, first, count) for stretches that stay within a home, and within a block of
  /// codes. `first` counts from the home's begin.
  template <class F>
  void by_stretch(std::int64_t first, std::int64_t count, F f) const {
    while (count > 0) {
      const Home& home = all_->home_of(first);
      const std::int64_t from = first - home.first;
      std::int64_t n = std::min(count, home.count - from);
      if (home.coded) n = std::min(n, kBlock - from % kBlock);
      f(home, from, n);
      first += n;
      count -= n;
    }
  }
  static std::int64_t in_block(const Home& home, std::int64_t from) {
    return std::min(kBlock, home.count - from / kBlock * kBlock);
  }
  [[nodiscard]] std::uint8_t* codes(const Home& home, std::int64_t from) const {
    return all_->codes_[index()].view().data<std::uint8_t>() + home.at + from / kBlock * kBlock;
  }
  [[nodiscard]] float* scale(const Home& home, std::int64_t from) const {
    return all_->scales_[index()].view().data<float>() + (home.at + from) / kBlock;
  }
  [[nodiscard]] float* wide(const Home& home, std::int64_t from) const {
    return all_->wide_[index()].view().data<float>() + home.at + from;
  }
  [[nodiscard]] std::size_t index() const { return static_cast<std::size_t>(number_); }

  std::shared_ptr<EightBitState> all_;
  int number_;
  std::array<float, kBlock> open_{};  ///< elements of a block that isn't full yet
  std::int64_t filled_ = 0;
};

EightBitState::EightBitState(const Exec& ex, const std::vector<Run>& runs, bool whole)
    : whole_(whole) {
  std::int64_t coded = 0;
  std::int64_t wide = 0;
  for (const Run& run : runs) {
    const FlatSlice& s = run.slice;
    std::int64_t& end = run.coded ? coded : wide;
    TRM_CHECK(!run.coded || s.in_group % kBlock == 0, "a block begins at element {}",
              s.in_group);
    homes_.push_back({whole ? s.in_group : s.in_own, s.count, run.coded, end});
    end += round_up(s.count, run.coded ? kBlock : FlatLayout::kAlign);
  }
  for (std::size_t i = 0; i < codes_.size(); ++i) {
    if (coded > 0) codes_[i] = ex.zeros(DType::u8, Shape{coded});
    if (coded > 0) scales_[i] = ex.zeros(DType::f32, Shape{coded / kBlock});
    if (wide > 0) wide_[i] = ex.zeros(DType::f32, Shape{wide});
  }
}

const EightBitState::Home& EightBitState::home_of(std::int64_t place) const {
  auto behind = std::ranges::upper_bound(homes_, place, {}, &Home::first);
  TRM_CHECK(
      behind != homes_.begin() && place < std::prev(behind)->first + std::prev(behind)->count,
      "this rank keeps no moments of element {}", place);
  return *std::prev(behind);
}

std::vector<View> EightBitState::views(const FlatSlice& part) const {
  const std::int64_t place = whole_ ? part.in_group : part.in_own;
  const Home& home = home_of(place);
  const std::int64_t at = home.at + place - home.first;
  if (!home.coded) {
    return {flat_window(wide_[0], at, part.count), flat_window(wide_[1], at, part.count)};
  }
  const std::int64_t blocks = (part.count + kBlock - 1) / kBlock;
  std::vector<View> views;
  for (std::size_t i = 0; i < codes_.size(); ++i) {
    views.push_back(flat_window(codes_[i], at, part.count));
    views.push_back(flat_window(scales_[i], at / kBlock, blocks));
  }
  return views;
}

std::shared_ptr<StoredArray> EightBitState::moment(int number) {
  return std::make_shared<Moment>(shared_from_this(), number);
}

std::size_t EightBitState::bytes() const {
  std::size_t n = 0;
  for (const auto* arrays : {&codes_, &scales_, &wide_}) {
    for (const Tensor& t : *arrays) n += t.defined() ? t.view().bytes() : 0;
  }
  return n;
}

}  // namespace trireme
