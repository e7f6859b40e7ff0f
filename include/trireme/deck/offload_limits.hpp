// SPDX-License-Identifier: Apache-2.0
// What a device can do with the optimizer's state: offloading, and moments in 8 bits.
#pragma once

#include "trireme/deck/deck.hpp"
#include "trireme/device/device.hpp"

namespace trireme {

/// Throws Error, on all ranks, if a device of this kind can't keep the optimizer's state where
/// and how the deck says.
void check_offload(const Deck& deck, DeviceKind kind);

/// What the log says of the optimizer's state; empty if it stays on the device. `files` is the
/// most that a rank has in a file, and `engine` how files are moved.
[[nodiscard]] std::string offload_text(const Deck& deck, std::int64_t files,
                                       const std::string& engine);

}  // namespace trireme
