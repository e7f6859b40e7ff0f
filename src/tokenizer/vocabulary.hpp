// SPDX-License-Identifier: Apache-2.0
// Vocabulary: tokens and their ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trireme {

class Vocabulary {
 public:
  /// Throws Error that begins with `where` if the token or its id is taken.
  void add(std::string token, std::int32_t id, const std::string& where);
  /// Adds the name of an id that id_of() never yields.
  void add_name(std::string name, std::int32_t id, const std::string& where);
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  /// "" for an id that no token has.
  [[nodiscard]] const std::string& token_of(std::int32_t id) const;
  [[nodiscard]] bool has(std::int32_t id) const;
  [[nodiscard]] std::int64_t size() const { return std::ssize(tokens_); }  ///< largest id + 1
  [[nodiscard]] std::int64_t count() const { return std::ssize(ids_); }    ///< tokens

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a == b; }
  };
  void take(std::int32_t id, const std::string& token, const std::string& where);

  std::unordered_map<std::string, std::int32_t, Hash, Equal> ids_;
  std::vector<std::string> tokens_;
  std::vector<bool> taken_;
};

}  // namespace trireme
