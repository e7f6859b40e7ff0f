// SPDX-License-Identifier: Apache-2.0
// Patterns by RE2. Only this file uses the library.
#include "trireme/model/name_pattern.hpp"

#include <re2/re2.h>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

NamePattern::NamePattern(std::string_view pattern, Case letters) {
  TRM_REQUIRE(pattern.size() <= kMostBytes, "it is longer than {} bytes", kMostBytes);
  re2::RE2::Options options;
  options.set_case_sensitive(letters == Case::matters);
  options.set_log_errors(false);
  options.set_never_capture(true);
  pattern_ = std::make_unique<re2::RE2>(piece(pattern), options);
  TRM_REQUIRE(pattern_->ok(), "{}", pattern_->error());
}

NamePattern::~NamePattern() = default;
NamePattern::NamePattern(NamePattern&&) noexcept = default;
NamePattern& NamePattern::operator=(NamePattern&&) noexcept = default;

bool NamePattern::found_in(std::string_view text) const {
  return re2::RE2::PartialMatch(piece(text), *pattern_);
}

bool NamePattern::matches(std::string_view text) const {
  return re2::RE2::FullMatch(piece(text), *pattern_);
}

}  // namespace trireme
