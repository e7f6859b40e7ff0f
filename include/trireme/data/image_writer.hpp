// SPDX-License-Identifier: Apache-2.0
// Writes images with classes as HDF5, for training.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trireme/image/labelled_images.hpp"

namespace trireme {

/// Writes /images, /labels, the attribute `classes` and, if there are names, /label_names. With
/// `shuffle`, in an order that the seed alone gives. PATH is never incomplete.
void write_image_file(const std::string& path, const LabelledImages& images,
                      std::optional<std::uint64_t> shuffle);

}  // namespace trireme
