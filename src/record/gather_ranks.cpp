// SPDX-License-Identifier: Apache-2.0
// Sends records as raw bytes, because all ranks run one program.
#include "gather_ranks.hpp"

#include <cstring>
#include <type_traits>

#include "trireme/core/log.hpp"

namespace trireme {

namespace {

/// The numbers of a RankRecord.
struct Figures {
  MeshIndex at;
  std::int64_t peak_bytes, arrays_peak_bytes, arrays_reserved_bytes;
  double step_seconds;
  std::array<double, kPhases> phases;
};
static_assert(std::is_trivially_copyable_v<Figures> && std::is_trivially_copyable_v<Span>);

/// Most bytes of a timeline over all ranks: metrics.h5 must stay small enough to copy.
constexpr std::int64_t kMostBytes = std::int64_t{32} << 20U;

}  // namespace

std::vector<RankRecord> gather_ranks(Communicator& world, const RankRecord& mine) {
  const Figures own{
      mine.at,           mine.peak_bytes, mine.arrays_peak_bytes, mine.arrays_reserved_bytes,
      mine.step_seconds, mine.phases};
  std::string text(sizeof own, '\0');
  std::memcpy(text.data(), &own, sizeof own);
  text += mine.host + '\n' + mine.device;
  std::vector<RankRecord> ranks;
  for (const std::string& line : world.gather_text(text, 0)) {
    Figures f{};
    std::memcpy(&f, line.data(), sizeof f);
    const auto end = line.find('\n', sizeof f);
    ranks.push_back({.host = line.substr(sizeof f, end - sizeof f),
                     .device = line.substr(end + 1),
                     .at = f.at,
                     .peak_bytes = f.peak_bytes,
                     .arrays_peak_bytes = f.arrays_peak_bytes,
                     .arrays_reserved_bytes = f.arrays_reserved_bytes,
                     .step_seconds = f.step_seconds,
                     .phases = f.phases});
  }
  return ranks;
}

std::vector<std::vector<Span>> gather_spans(Communicator& world, std::int64_t iteration,
                                            const std::vector<Span>& mine) {
  const std::vector<Span> merged = merge_spans(mine);
  const auto bytes = merged.size() * sizeof(Span);
  const std::int64_t all = world.reduce_count(static_cast<std::int64_t>(bytes), Reduction::sum);
  std::vector<std::vector<Span>> ranks;
  if (all > kMostBytes) {
    if (world.rank() == 0) {
      log::warn(
          "the timeline of iteration {} is left out: its {} MiB exceed the limit of {} MiB",
          iteration, all >> 20U, kMostBytes >> 20U);
    }
    return ranks;
  }
  std::string text(bytes, '\0');
  if (bytes > 0) std::memcpy(text.data(), merged.data(), bytes);
  for (const std::string& spans : world.gather_text(text, 0)) {
    std::vector<Span>& rank = ranks.emplace_back(spans.size() / sizeof(Span));
    if (!spans.empty()) std::memcpy(rank.data(), spans.data(), spans.size());
  }
  return ranks;
}

}  // namespace trireme
