// SPDX-License-Identifier: Apache-2.0
// TokenTable: the tokens of a tokenizer.json's "vocab" object, by id.
#include "token_table.hpp"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

// Ids may have gaps, but a hostile id must not decide how much memory is used.
constexpr std::uint64_t kLargestGap = 1 << 20;

}  // namespace

TokenTable::TokenTable(const nlohmann::json& tokens, const std::string& where) {
  TRM_REQUIRE(!tokens.empty(), "{}: the vocabulary is empty", where);
  const std::uint64_t limit = tokens.size() + kLargestGap;
  std::vector<std::pair<std::string_view, std::int32_t>> keys;
  std::vector<bool> taken;
  for (const auto& [token, id] : tokens.items()) {
    TRM_REQUIRE(id.is_number_unsigned() && id.get<std::uint64_t>() < limit,
                "{}: the id {} of \"{}\" is no whole number below {}", where, id.dump(), token,
                limit);
    const auto at = id.get<std::size_t>();
    if (at >= tokens_.size()) {
      tokens_.resize(at + 1);
      taken.resize(at + 1);
    }
    TRM_REQUIRE(!taken[at], "{}: the id {} stands for both \"{}\" and \"{}\"", where, at,
                tokens_[at], token);
    taken[at] = true;
    tokens_[at] = token;
  }
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    if (!tokens_[id].empty()) keys.emplace_back(tokens_[id], static_cast<std::int32_t>(id));
  }
  trie_ = Trie(std::move(keys));
}

const std::string& TokenTable::token_of(std::int32_t id) const {
  return tokens_.at(static_cast<std::size_t>(id));
}

std::int64_t count_code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

}  // namespace trireme
