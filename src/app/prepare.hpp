// SPDX-License-Identifier: Apache-2.0
// `trireme prepare`: converts text files to one token file, on any number of ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/data/document_joiner.hpp"
#include "trireme/data/prepare.hpp"

namespace trireme {

struct PrepareOptions {
  std::vector<std::string> inputs{};
  std::vector<std::string> images{};  ///< see read_labelled_images(); instead of inputs
  std::string output{};
  bool overwrite = false;       ///< move what has the output's name aside
  std::string json_keys{};      ///< if set, every input is JSON lines; commas between keys
  std::string format = "auto";  ///< auto, text or jsonl: what every input is
  bool document_per_file = false;
  std::string separator{};  ///< bytes between documents in plain text
  TokenizerSource tokenizer{};
  std::string chat_template{};         ///< for conversations
  std::string train_on = "assistant";  ///< assistant, all or last: words that count
  bool pairs = false;                  ///< prompt, chosen, rejected
  std::string label_key{};             ///< for labelled texts
  std::string on_error = "stop";       ///< stop or skip
  std::int64_t min_tokens = 0;
  std::string dedup = "none";  ///< none or exact
  bool append_eod = true;
  bool shuffle = false;
  std::uint64_t seed = 1234;                           ///< for the shuffle
  int threads = 1;                                     ///< a rank
  std::string json{};                                  ///< file for the report; empty: none
  std::int64_t block_bytes = TextBlocks::kBlockBytes;  ///< affects speed, never the output
  std::int64_t memory = 96 << 20;  ///< for finished pieces of a rank; affects speed alone
};

/// The result, on rank 0.
struct PrepareSummary {
  std::int64_t bytes = 0;  ///< input bytes
  std::int64_t tokens = 0;
  std::int64_t documents = 0;
  std::int64_t dropped = 0;  ///< documents and files left out
  double seconds = 0;
  bool has_mask = false;
  JoinReport report{};
  std::string warning{};  ///< names files without the separator; "" if there are none
};

/// "2 empty, 1 not UTF-8": what was left out, or "".
[[nodiscard]] std::string left_out_words(const JoinReport& report);

/// Converts text files to one token file. The output is equal, byte for byte, on any number of
/// ranks and threads. The file appears when complete, and an error leaves no file behind. The
/// output's folder is made. What has the output's name is an error, or with `overwrite` gets
/// the name OUTPUT.before-DATE at the end. The lock OUTPUT.lock.N lets one process at a time
/// write it. Each thread holds a block, and each rank some finished blocks. Throws equal Errors
/// on all ranks. Collective.
PrepareSummary prepare(const PrepareOptions& options, Communicator& world);

/// What the options say of the format. Throws Error where options contradict each other.
[[nodiscard]] TextFormat text_format_of(const PrepareOptions& options);

/// Logs what was prepared, and writes the report to `options.json`. Call on rank 0.
void report_prepared(const PrepareOptions& options, const PrepareSummary& summary);

/// Replaces `\n`, `\t`, `\r`, `\0`, `\\` and `\xHH`, typed in a shell, by the bytes they stand
/// for. Throws Error on other escapes.
[[nodiscard]] std::string unescape(std::string_view text);

/// Writes images with classes as HDF5. Rank 0 works alone.
void prepare_images(const PrepareOptions& options, Communicator& world);

}  // namespace trireme
