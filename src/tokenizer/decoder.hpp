// SPDX-License-Identifier: Apache-2.0
// Decoder: turns tokens back into text, as "decoder" of a tokenizer.json asks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace trireme {

/// Immutable, so threads may share it.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Replaces tokens by the parts of the text, which callers join. Parts may be any bytes:
  /// bytes that are no UTF-8 stay as they are.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

/// Returns null if `spec` is JSON's null. Throws Error that begins with `where` and names a
/// type or field that is unknown, missing or of the wrong kind.
[[nodiscard]] std::unique_ptr<Decoder> make_decoder(const nlohmann::json& spec,
                                                    const std::string& where);

}  // namespace trireme
