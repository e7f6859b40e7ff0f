// SPDX-License-Identifier: Apache-2.0
// BPE models of tokenizer.json.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "bpe.hpp"

namespace trireme {

/// Whether a model of tokenizer.json is a BPE, which old files say by its fields alone.
[[nodiscard]] bool is_bpe(const nlohmann::json& spec);
/// If `bytes`, tokens are read as bytes in GPT-2's alphabet. Throws Error that begins with
/// `where` and names what is wrong or not supported.
[[nodiscard]] std::unique_ptr<Bpe> read_bpe(const nlohmann::json& spec, bool bytes,
                                            const std::string& where);

}  // namespace trireme
