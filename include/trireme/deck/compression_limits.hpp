// SPDX-License-Identifier: Apache-2.0
// What a device can do with an optimizer that compresses what ranks average.
#pragma once

#include "trireme/deck/deck.hpp"
#include "trireme/device/device.hpp"

namespace trireme {

/// Throws Error, on all ranks, if a device of this kind can't run the deck's optimizer.
void check_compression(const Deck& deck, DeviceKind kind);

}  // namespace trireme
