// SPDX-License-Identifier: Apache-2.0
// The order in which a vision transformer takes the bytes of an image.
#pragma once

#include <cstdint>
#include <vector>

#include "trireme/model/config.hpp"

namespace trireme {

/// For each number of MicroBatch::tokens of a sample, the byte of the image, which lies in
/// memory as [rows, columns, channels]. Patches follow each other by rows of patches. A patch
/// has its channels one after another, each by rows, as a convolution's weights do. The class
/// token's numbers are −1.
[[nodiscard]] std::vector<std::int32_t> patch_order(const ModelConfig& config);

}  // namespace trireme
