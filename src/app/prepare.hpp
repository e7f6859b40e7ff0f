// SPDX-License-Identifier: Apache-2.0
// `trireme prepare`: converts text files to one token file, on any number of ranks.
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
  bool overwrite = false;                  ///< move what has the output's name aside
  std::optional<std::string> jsonl_key{};  ///< if set, every input is JSON lines
  std::string format = "auto";             ///< auto, text or jsonl: what every input is
  std::string separator{};                 ///< bytes between documents in plain text
  TokenizerSource tokenizer{};
  std::int64_t block_bytes = TextBlocks::kBlockBytes;  ///< affects speed, never the output
};

/// The result, on rank 0.
struct PrepareSummary {
  std::int64_t bytes = 0;  ///< input bytes
  std::int64_t tokens = 0;
  std::int64_t documents = 0;
  std::int64_t dropped = 0;  ///< empty documents left out
  double seconds = 0;
  std::string warning{};  ///< names files without the separator; "" if there are none
};

/// Converts text files to one token file. The output is equal, byte for byte, on any number of
/// ranks. The file appears when complete, and an error leaves no file behind. The output's
/// folder is made. What has the output's name is an error, or with `overwrite` gets the name
/// OUTPUT.before-DATE at the end. The lock OUTPUT.lock.N lets one process at a time write it.
/// Each rank holds one or two blocks at a time. Throws equal Errors on all ranks. Collective.
PrepareSummary prepare(const PrepareOptions& options, Communicator& world);

/// Replaces `\n`, `\t`, `\r`, `\0`, `\\` and `\xHH`, typed in a shell, by the bytes they stand
/// for. Throws Error on other escapes.
[[nodiscard]] std::string unescape(std::string_view text);

}  // namespace trireme
