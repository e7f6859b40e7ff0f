// SPDX-License-Identifier: Apache-2.0
// A model whose tokens stand in a table.
#pragma once

#include <string>
#include <utility>

#include "model.hpp"
#include "token_table.hpp"

namespace trireme {

class TableModel : public Model {
 public:
  explicit TableModel(TokenTable tokens) : table_(std::move(tokens)) {}

  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const final {
    const std::int32_t id = table_.id_of(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
  [[nodiscard]] std::string token_of(std::int32_t id) const final {
    return table_.token_of(id);
  }
  [[nodiscard]] std::int64_t size() const final { return table_.size(); }

 protected:
  [[nodiscard]] const TokenTable& table() const { return table_; }
  [[nodiscard]] const Trie& trie() const { return table_.trie(); }

 private:
  TokenTable table_;
};

}  // namespace trireme
