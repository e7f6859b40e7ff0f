// SPDX-License-Identifier: Apache-2.0
// The small encoders beside test/support/golden/make_encoders.py, and what they read.
#pragma once

#include <cstdint>
#include <vector>

namespace trireme::test {

inline constexpr const char* kEncoders[] = {"bert", "bert_odd", "roberta", "xlm_roberta",
                                            "distilbert"};

inline constexpr std::int64_t kEncoderBatch = 2;
inline constexpr std::int64_t kEncoderSequence = 13;

/// The rows of make_encoders.py, of which the last sequence ends with padding.
struct EncoderRows {
  EncoderRows(std::int64_t vocabulary, std::int64_t type_vocabulary) {
    constexpr std::int64_t kLengths[kEncoderBatch] = {13, 7};
    constexpr std::int64_t kReserved = 3;
    const auto token = [&](std::int64_t b, std::int64_t i) {
      return static_cast<std::int32_t>(kReserved +
                                       (7 * b + 5 * i * i + 3 * i) % (vocabulary - kReserved));
    };
    for (std::int64_t b = 0; b < kEncoderBatch; ++b) {
      const auto length = static_cast<std::int32_t>(kLengths[b]);
      for (std::int64_t i = 0; i < kEncoderSequence; ++i) {
        const bool inside = i < length;
        const bool counts = inside && (i + b) % 3 == 1;
        tokens.push_back(inside ? token(b, i) : 0);
        targets.push_back(counts ? token(b + 1, i) : -1);
        first_keys.push_back(inside ? 0 : length);
        end_keys.push_back(length);
        if (type_vocabulary > 1) types.push_back(i >= 4 ? 1 : 0);
        counted += counts ? 1 : 0;
      }
    }
  }

  std::vector<std::int32_t> tokens, targets, first_keys, end_keys;
  std::vector<std::int32_t> types;  ///< empty: 0
  std::int64_t counted = 0;         ///< targets
};

}  // namespace trireme::test
