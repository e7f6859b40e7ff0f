// SPDX-License-Identifier: Apache-2.0
// Moves the middle of documents to their end.
#include "trireme/data/fill_in_the_middle.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "trireme/core/random.hpp"

namespace trireme {

namespace {

constexpr std::size_t kMarks = 3;

void change(const FillInTheMiddle& fim, std::span<std::int32_t> document,
            const std::array<std::uint32_t, 4>& words) {
  const auto place = [&](std::uint32_t word) {  // 0 to the document's length
    return static_cast<std::size_t>((std::uint64_t{word} * (document.size() + 1)) >> 32U);
  };
  const auto [begin, end] = std::minmax({place(words[1]), place(words[2])});
  if (document.size() - end < kMarks) return;
  const std::vector<std::int32_t> whole(document.begin(), document.end() - kMarks);
  const std::span<const std::int32_t> all(whole);
  auto to = document.begin();
  const auto put = [&](std::span<const std::int32_t> part) {
    to = std::ranges::copy(part, to).out;
  };
  const auto mark = [&](std::int32_t id) { *to++ = id; };
  mark(fim.prefix);
  const bool suffix_first = unit_interval(words[3]) < fim.spm_rate;
  if (!suffix_first) put(all.first(begin));
  mark(fim.suffix);
  put(all.subspan(end));
  mark(fim.middle);
  if (suffix_first) put(all.first(begin));
  put(all.subspan(begin, end - begin));
}

}  // namespace

void FillInTheMiddle::apply(std::uint64_t seed, std::uint64_t k, std::int32_t end,
                            std::span<std::int32_t> tokens) const {
  if (rate <= 0) return;
  const RngKey key{seed, stream_of("fill in the middle")};
  std::uint32_t document = 0;
  for (std::size_t at = 0; at < tokens.size(); ++document) {
    const auto is_end = [&](std::int32_t stored) {
      return end >= 0 && (stored < 0 ? ~stored : stored) == end;
    };
    const auto stop = std::ranges::find_if(tokens.subspan(at), is_end);
    const auto size = static_cast<std::size_t>(stop - tokens.subspan(at).begin());
    const auto words = philox(key, k, document);
    if (unit_interval(words[0]) < rate) change(*this, tokens.subspan(at, size), words);
    at += size + 1;
  }
}

}  // namespace trireme
