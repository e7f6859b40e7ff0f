// SPDX-License-Identifier: Apache-2.0
// Bytes of TensorBoard's event files: records of TensorFlow's TFRecord format, each an Event of
// tensorboard/compat/proto/event.proto in protobuf's wire format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::event_file {

/// CRC-32C, with Castagnoli's polynomial (RFC 3720, appendix B.4).
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

/// A record: the length of `data`, the length's checksum, `data`, and the checksum of `data`.
/// The checksums are CRC-32C, masked as TFRecord wants.
[[nodiscard]] std::string record(std::string_view data);

struct Scalar {
  std::string_view tag;
  double value = 0;  ///< stored in fp32
};

// Functions that return events; `wall_time` in seconds since 1970, `step` ≥ 0.

/// The first event of each file.
[[nodiscard]] std::string version(double wall_time);
/// A session starts: events of `step` and later in other files of the folder become void.
[[nodiscard]] std::string session_start(double wall_time, std::int64_t step);
[[nodiscard]] std::string scalars(double wall_time, std::int64_t step,
                                  const std::vector<Scalar>& values);
/// Markdown for the text plugin.
[[nodiscard]] std::string text(double wall_time, std::int64_t step, std::string_view tag,
                               std::string_view markdown);

}  // namespace trireme::event_file
