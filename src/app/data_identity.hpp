// SPDX-License-Identifier: Apache-2.0
// Tells data files apart by what they hold, whatever their names are.
#pragma once

#include <string>

#include "trireme/data/samples.hpp"

namespace trireme {

/// What the files of `samples` hold, in their order: "2 files of 1000 tokens in 12 documents,
/// content 0123456789abcdef". Texts are equal for equal sources, sizes and tokenizers.
[[nodiscard]] std::string data_identity(const Samples& samples);

/// The text with a part's name before it, added to what `all` says of other parts.
void add_identity(std::string& all, const std::string& part, const Samples& samples);

}  // namespace trireme
