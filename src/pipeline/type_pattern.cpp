// SPDX-License-Identifier: Apache-2.0
// Patterns by RE2. Only this file uses the library.
#include "trireme/pipeline/type_pattern.hpp"

#include <re2/re2.h>

#include "trireme/core/error.hpp"

namespace trireme {

TypePattern::TypePattern(std::string_view pattern) {
  TRM_REQUIRE(pattern.size() <= kMostBytes, "it is longer than {} bytes", kMostBytes);
  re2::RE2::Options options;
  options.set_case_sensitive(false);
  options.set_log_errors(false);
  options.set_never_capture(true);
  pattern_ =
      std::make_unique<re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  TRM_REQUIRE(pattern_->ok(), "{}", pattern_->error());
}

TypePattern::~TypePattern() = default;

bool TypePattern::found_in(std::string_view text) const {
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *pattern_);
}

}  // namespace trireme
