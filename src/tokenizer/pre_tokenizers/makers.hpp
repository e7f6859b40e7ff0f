// SPDX-License-Identifier: Apache-2.0
// Pre-tokenizers that have a file of their own.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "../pre_tokenizer.hpp"

namespace trireme {

[[nodiscard]] std::unique_ptr<PreTokenizer> make_metaspace(const nlohmann::json& spec,
                                                           const std::string& where);
[[nodiscard]] std::unique_ptr<PreTokenizer> make_unicode_scripts(const nlohmann::json& spec,
                                                                 const std::string& where);

}  // namespace trireme
