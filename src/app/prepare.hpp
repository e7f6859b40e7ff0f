// SPDX-License-Identifier: Apache-2.0
// `trireme prepare`: text files to one token file, on any number of ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/data/prepare.hpp"

namespace trireme {

struct PrepareOptions {
  std::vector<std::string> inputs{};
  std::string output{};
  std::optional<std::string> jsonl_key{};  ///< given: every input is JSON lines
  std::string separator{};                 ///< of documents in plain text, as bytes
  std::string tokenizer = "bytes";
  std::int64_t block_bytes = TextBlocks::kBlockBytes;  ///< changes nothing in the output
};

/// Known on rank 0.
struct PrepareSummary {
  std::int64_t bytes = 0;  ///< of input
  std::int64_t tokens = 0;
  std::int64_t documents = 0;
  std::int64_t dropped = 0;  ///< empty documents
  double seconds = 0;
};

/// Collective. The output is the same, byte for byte, on any number of ranks; it appears when
/// it is complete, and an error leaves nothing of it. Each rank holds a block or two at a time.
/// Throws the same Error on all ranks.
PrepareSummary prepare(const PrepareOptions& options, Communicator& world);

/// `\n`, `\t`, `\r`, `\0`, `\\` and `\xHH` as the bytes they stand for, for separators typed in
/// a shell. Throws Error on other escapes.
[[nodiscard]] std::string unescape(std::string_view text);

}  // namespace trireme
