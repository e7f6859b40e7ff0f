// SPDX-License-Identifier: Apache-2.0
// Windows that slide over a sequence of tokens.
#pragma once

#include <algorithm>
#include <cstdint>

namespace trireme::tasks {

/// Tokens [begin, end) of a sequence, of which those from `scored` on count.
struct Window {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t scored = 0;
};

/// Windows of `length` + 1 tokens, each `stride` tokens behind the one before. The last window
/// ends with the sequence, and reaches back as far as the others. Each token but the first
/// counts in one window alone. More than `length` − `stride` tokens stand before a token that
/// counts, except in the first window. 1 ≤ stride ≤ length.
class Windows {
 public:
  Windows(std::int64_t tokens, std::int64_t length, std::int64_t stride)
      : tokens_(tokens), length_(length), stride_(stride), end_(length + 1) {}

  /// Whether there is one more, which `to` becomes.
  bool next(Window& to) {
    if (scored_ >= tokens_) return false;
    const std::int64_t end = std::min(tokens_, end_);
    to = {std::max<std::int64_t>(0, end - length_ - 1), end, scored_};
    scored_ = end;
    end_ += stride_;
    return true;
  }

 private:
  std::int64_t tokens_;
  std::int64_t length_;
  std::int64_t stride_;
  std::int64_t end_;
  std::int64_t scored_ = 1;
};

}  // namespace trireme::tasks
