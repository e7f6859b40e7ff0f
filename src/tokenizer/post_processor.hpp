// SPDX-License-Identifier: Apache-2.0
// PostProcessor: the ids that stand around a whole text, such as its first and last token.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

namespace trireme {

/// Immutable, so threads may share it.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  /// Puts ids around those that stand there already. The input is one text, not a pair.
  virtual void surround(Surroundings& ids) const = 0;
};

/// Returns null if `spec` is JSON's null. Throws Error that begins with `where` and names a
/// type or field that is unknown, missing or of the wrong kind.
[[nodiscard]] std::unique_ptr<PostProcessor> make_post_processor(const nlohmann::json& spec,
                                                                 const std::string& where);

}  // namespace trireme
