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

/// Windows of `length` + 1 tokens, each `stride` tokens behind the one before. Each token but
/// the first counts in one window alone. At least `length` − `stride` tokens stand before a
/// token that counts, except in the first window. 1 ≤ stride ≤ length.
class Windows {
 public:
  Windows(std::int64_t tokens, std::int64_t length, std::int64_t stride)
      : tokens_(tokens), length_(length), stride_(stride) {}

  /// Whether there is one more, which `to` becomes.
  bool next(Window& to) {
    if (scored_ >= tokens_) return false;
    to = {begin_, std::min(tokens_, begin_ + length_ + 1), scored_};
    scored_ = to.end;
    begin_ += stride_;
    return true;
  }

 private:
  std::int64_t tokens_;
  std::int64_t length_;
  std::int64_t stride_;
  std::int64_t begin_ = 0;
  std::int64_t scored_ = 1;
};

}  // namespace trireme::tasks
