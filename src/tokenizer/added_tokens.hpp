// SPDX-License-Identifier: Apache-2.0
// Added tokens: texts that are found before anything else happens to a text, and have one id
// each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace trireme {

struct AddedToken {
  std::string content{};
  std::int32_t id = 0;
  bool single_word = false;  ///< counts only where no letter or digit stands beside it
  bool lstrip = false;       ///< takes the white space on its left
  bool rstrip = false;       ///< takes the white space on its right
  bool normalized = false;   ///< is looked for in normalised text
  bool special = false;      ///< stands for no text
};

/// Throws Error that begins with `where` and names an unknown field.
[[nodiscard]] AddedToken added_token_from(const nlohmann::json& spec, const std::string& where);

/// A part of a text: an added token's id, or text between such tokens.
struct Part {
  std::int32_t id;  ///< −1: text
  std::size_t begin;
  std::size_t end;
};

/// Finds added tokens: the leftmost, and the longest of those that begin at one place.
/// Immutable, so threads may share it.
class TokenFinder {
 public:
  struct Needle {
    std::string text;  ///< not empty: what is looked for
    AddedToken token;
  };
  explicit TokenFinder(std::vector<Needle> needles);

  [[nodiscard]] bool empty() const { return needles_.empty(); }
  [[nodiscard]] std::span<const Needle> needles() const { return needles_; }
  /// Appends the parts of a text, which is valid UTF-8 unless no needle has a flag.
  void split(std::string_view text, std::vector<Part>& parts) const;

 private:
  struct Node {
    std::int32_t needle = -1;  ///< the needle that ends here
    std::vector<std::pair<unsigned char, std::uint32_t>> next{};
  };
  struct Found {
    std::size_t begin;
    std::int32_t needle;  ///< −1: none
  };
  [[nodiscard]] Found find(std::string_view text, std::size_t from) const;
  [[nodiscard]] std::int32_t longest_at(std::string_view text, std::size_t at) const;

  std::vector<Needle> needles_;
  std::vector<Node> nodes_;
  std::vector<bool> pairs_;           ///< which two bytes begin a needle
  std::vector<unsigned char> first_;  ///< the bytes that begin needles, if they are few
};

}  // namespace trireme
