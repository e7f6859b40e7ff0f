// SPDX-License-Identifier: Apache-2.0
// The normalizers of a tokenizer.json as steps of a sequence.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "../normalizer.hpp"
#include "../part_fields.hpp"

namespace trireme {

/// A normalizer that can stand in a sequence.
class NormalizerStep : public Normalizer {
 public:
  /// True only if `c` has the same normal form whatever stands around it.
  [[nodiscard]] virtual bool local(char32_t c) const = 0;
};

using NormalizerStepPtr = std::unique_ptr<NormalizerStep>;

// Each throws Error that begins with `where` if a field is missing or of the wrong kind.
[[nodiscard]] NormalizerStepPtr make_normal_form(const std::string& type);
[[nodiscard]] NormalizerStepPtr make_lowercase(const nlohmann::json& spec,
                                               const std::string& where);
[[nodiscard]] NormalizerStepPtr make_strip_accents(const nlohmann::json& spec,
                                                   const std::string& where);
[[nodiscard]] NormalizerStepPtr make_nmt(const nlohmann::json& spec, const std::string& where);
[[nodiscard]] NormalizerStepPtr make_bert_normalizer(const nlohmann::json& spec,
                                                     const std::string& where);
[[nodiscard]] NormalizerStepPtr make_prepend(const nlohmann::json& spec,
                                             const std::string& where);
[[nodiscard]] NormalizerStepPtr make_replace(const nlohmann::json& spec,
                                             const std::string& where);
[[nodiscard]] NormalizerStepPtr make_strip(const nlohmann::json& spec,
                                           const std::string& where);
[[nodiscard]] NormalizerStepPtr make_byte_level_normalizer(const nlohmann::json& spec,
                                                           const std::string& where);
[[nodiscard]] NormalizerStepPtr make_precompiled(const nlohmann::json& spec,
                                                 const std::string& where);

}  // namespace trireme
