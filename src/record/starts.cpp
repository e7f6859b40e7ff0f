// SPDX-License-Identifier: Apache-2.0
// The history of a run's starts in metrics.h5: the group /starts/N of start N has attributes.
#include <string>

#include "trireme/record/metrics.hpp"

namespace trireme {

namespace {

/// HDF5 keeps at most 64 KiB in an attribute.
std::string bounded(const std::string& text) {
  constexpr std::size_t kMost = 32'000;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // UTF-8
  return text.substr(0, end) + " …";
}

}  // namespace

void Metrics::add(const StartRecord& start) {
  change([start](h5::File& file) {
    h5::Group starts = file.create_group("starts");
    h5::Group one = starts.create_group(fmt::format("{}", starts.names().size() + 1));
    one.set_attribute("iteration", start.iteration);
    one.set_attribute("time", start.time);
    one.set_attribute("mesh", mesh_text(start.mesh));
    one.set_attribute("ranks", std::int64_t{start.mesh.size()});
    one.set_attribute("train_batch_size", start.train_batch_size);
    one.set_attribute("host", start.host);
    one.set_attribute("revision", start.revision);
    one.set_attribute("changes", bounded(start.changes));
  });
}

}  // namespace trireme
