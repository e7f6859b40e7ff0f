// SPDX-License-Identifier: Apache-2.0
// Vocabulary: tokens and their ids.
#include "vocabulary.hpp"

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

namespace trireme {

void Vocabulary::take(std::int32_t id, const std::string& token, const std::string& where) {
  const auto at = static_cast<std::size_t>(id);
  if (at >= tokens_.size()) {
    tokens_.resize(at + 1);
    taken_.resize(at + 1);
  }
  TRM_REQUIRE(!taken_[at], "{}: two tokens have the id {}: \"{}\" and \"{}\"", where, id,
              printable(tokens_[at]), printable(token));
  taken_[at] = true;
}

void Vocabulary::add(std::string token, std::int32_t id, const std::string& where) {
  take(id, token, where);
  const auto [found, is_new] = ids_.try_emplace(token, id);
  TRM_REQUIRE(is_new, "{}: the token \"{}\" has two ids: {} and {}", where, printable(token),
              found->second, id);
  tokens_[static_cast<std::size_t>(id)] = std::move(token);
}

void Vocabulary::add_name(std::string name, std::int32_t id, const std::string& where) {
  take(id, name, where);
  tokens_[static_cast<std::size_t>(id)] = std::move(name);
}

bool Vocabulary::has(std::int32_t id) const {
  return id >= 0 && id < size() && taken_[static_cast<std::size_t>(id)];
}

const std::string& Vocabulary::token_of(std::int32_t id) const {
  static const std::string none;
  return has(id) ? tokens_[static_cast<std::size_t>(id)] : none;
}

}  // namespace trireme
