// SPDX-License-Identifier: Apache-2.0
// Takes a stored sample apart.
#include "sample_rows.hpp"

#include <algorithm>

#include "trireme/data/samples.hpp"

namespace trireme {

std::int64_t SampleRows::inputs_used() const {
  if (!order.empty()) return std::ssize(order);
  return layout.targets == layout.inputs ? seq : layout.inputs;
}

std::int64_t SampleRows::targets_used() const { return std::min(layout.targets, seq); }

std::int64_t SampleRows::real(const std::int32_t* sample) const {
  if (!padded) return seq;
  return std::find_if(sample, sample + seq, [](std::int32_t id) { return id < 0; }) - sample;
}

void SampleRows::inputs(const std::int32_t* sample, std::int32_t* to) const {
  if (order.empty()) {
    std::transform(sample, sample + inputs_used(), to, id_of);
    return;
  }
  std::ranges::transform(order, to, [&](std::int32_t at) { return at < 0 ? at : sample[at]; });
}

void SampleRows::targets(const std::int32_t* sample, std::int32_t* to) const {
  const std::int32_t* const begin = sample + layout.first_target;
  std::transform(begin, begin + targets_used(), to,
                 [](std::int32_t stored) { return std::max(stored, -1); });
}

void SampleRows::first_keys(const std::int32_t* sample, std::int32_t* to) const {
  const std::int64_t n = real(sample);
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    to[i] = static_cast<std::int32_t>(begin);
    if (end_of_document >= 0 && id_of(sample[i]) == end_of_document) begin = i + 1;
  }
  std::fill(to + n, to + seq, static_cast<std::int32_t>(n));
}

void SampleRows::end_keys(const std::int32_t* sample, std::int32_t* to) const {
  const std::int64_t n = real(sample);
  std::fill(to + n, to + seq, static_cast<std::int32_t>(n));
  std::int64_t end = n;
  for (std::int64_t i = n; i-- > 0;) {
    if (end_of_document >= 0 && id_of(sample[i]) == end_of_document) end = i + 1;
    to[i] = static_cast<std::int32_t>(end);
  }
}

void SampleRows::positions(const std::int32_t* sample, std::int32_t* to) const {
  first_keys(sample, to);
  for (std::int64_t i = 0; i < seq; ++i) to[i] = static_cast<std::int32_t>(i) - to[i];
}

}  // namespace trireme
