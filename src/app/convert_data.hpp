// SPDX-License-Identifier: Apache-2.0
// `trireme convert data`: token files to Megatron's indexed data and back.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

struct ConvertDataOptions {
  std::string from;  ///< data of any format
  std::string to;    ///< a token file, or PREFIX of Megatron's PREFIX.bin and PREFIX.idx
  std::int64_t vocab_size = 0;        ///< for data that don't say it
  std::int64_t end_of_document = -1;  ///< likewise
  /// Type of a token in PREFIX.bin: "uint16", "int32", …; empty: Megatron's choice by the
  /// vocabulary.
  std::string type;
  bool append_eod = false;  ///< add the end to documents without one; otherwise an error
  bool overwrite = false;   ///< replace what stands at `to`
};

/// Converts on one rank, in constant memory but for 4 bytes a document, and prints what it did.
/// Throws Error, and leaves no file, where the other format can't hold the data as they are.
void convert_data(const ConvertDataOptions& options);

}  // namespace trireme
