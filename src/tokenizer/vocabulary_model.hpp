// SPDX-License-Identifier: Apache-2.0
// A model whose tokens stand in a vocabulary.
#pragma once

#include <string>
#include <utility>

#include "model.hpp"
#include "vocabulary.hpp"

namespace trireme {

class VocabularyModel : public Model {
 public:
  explicit VocabularyModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const final {
    const std::int32_t id = vocabulary_.id_of(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
  [[nodiscard]] std::string token_of(std::int32_t id) const final {
    return vocabulary_.token_of(id);
  }
  [[nodiscard]] std::int64_t size() const final { return vocabulary_.size(); }

 protected:
  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  [[nodiscard]] const Trie& trie() const { return vocabulary_.trie(); }

 private:
  Vocabulary vocabulary_;
};

}  // namespace trireme
