// SPDX-License-Identifier: Apache-2.0
// `trireme inspect RUN --step N`: the samples that a training step saw, on whatever mesh.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// Ids as the text that they stand for, in one line; as numbers where `tokenizer` is null or
/// doesn't know an id.
[[nodiscard]] std::string text_of(const Tokenizer* tokenizer,
                                  std::span<const std::int32_t> ids);

/// Prints which documents, offsets and tokens the samples of iteration `step` are. `sample`
/// counts within the step's global batch; −1 lists all of them in short. Throws Error if `run`
/// has no deck, or the step is none of the run's.
void inspect_step(const std::string& run, std::int64_t step, std::int64_t sample);

/// Prints document `document` of data, with its tokens and its text.
void inspect_document(const std::string& path, std::int64_t document);

}  // namespace trireme
