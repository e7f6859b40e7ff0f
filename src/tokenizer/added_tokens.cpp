// SPDX-License-Identifier: Apache-2.0
// Added tokens.
#include "added_tokens.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "trireme/core/error.hpp"

#include "fields.hpp"
#include "unicode.hpp"
#include "utf8.hpp"

namespace trireme {

AddedToken added_token_from(const nlohmann::json& spec, const std::string& where) {
  require_fields(spec,
                 {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"},
                 where);
  AddedToken token;
  token.content = text_field(spec, "content", where);
  TRM_REQUIRE(!token.content.empty(), "{}: an added token is empty", where);
  token.id = id_from(field(spec, "id", where), where + ", \"" + token.content + "\"");
  token.single_word = flag(spec, "single_word", false, where);
  token.lstrip = flag(spec, "lstrip", false, where);
  token.rstrip = flag(spec, "rstrip", false, where);
  token.special = flag(spec, "special", false, where);
  token.normalized = flag(spec, "normalized", !token.special, where);
  return token;
}

TokenFinder::TokenFinder(std::vector<Needle> needles)
    : needles_(std::move(needles)), nodes_(1), pairs_(1 << 16) {
  std::set<unsigned char> first;
  for (std::size_t i = 0; i < needles_.size(); ++i) {
    const std::string& text = needles_[i].text;
    TRM_CHECK(!text.empty(), "an added token is empty");
    std::uint32_t node = 0;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      auto& next = nodes_[node].next;
      const auto found = std::find_if(next.begin(), next.end(),
                                      [&](const auto& edge) { return edge.first == byte; });
      if (found != next.end()) {
        node = found->second;
        continue;
      }
      next.emplace_back(byte, static_cast<std::uint32_t>(nodes_.size()));
      node = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
    }
    if (nodes_[node].needle < 0) nodes_[node].needle = static_cast<std::int32_t>(i);
    const auto a = static_cast<unsigned char>(text[0]);
    first.insert(a);
    for (unsigned b = 0; b < 256; ++b) {
      if (text.size() == 1 || b == static_cast<unsigned char>(text[1])) {
        pairs_[static_cast<unsigned>(a) << 8U | b] = true;
      }
    }
  }
  first_.assign(first.begin(), first.end());
}

std::int32_t TokenFinder::longest_at(std::string_view text, std::size_t at) const {
  std::int32_t longest = -1;
  std::uint32_t node = 0;
  for (; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const auto& next = nodes_[node].next;
    const auto found = std::find_if(next.begin(), next.end(),
                                    [&](const auto& edge) { return edge.first == byte; });
    if (found == next.end()) break;
    node = found->second;
    if (nodes_[node].needle >= 0) longest = nodes_[node].needle;
  }
  return longest;
}

TokenFinder::Found TokenFinder::find(std::string_view text, std::size_t from) const {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t at = from; at < text.size(); ++at) {
    if (first_.size() == 1) {
      const void* const next = std::memchr(text.data() + at, first_[0], text.size() - at);
      if (next == nullptr) break;
      at = static_cast<std::size_t>(static_cast<const char*>(next) - text.data());
    }
    const unsigned b = at + 1 < text.size() ? byte(at + 1) : 0U;
    if (!pairs_[static_cast<unsigned>(byte(at)) << 8U | b]) continue;
    if (const std::int32_t needle = longest_at(text, at); needle >= 0) return {at, needle};
  }
  return {text.size(), -1};
}

void TokenFinder::split(std::string_view text, std::vector<Part>& parts) const {
  std::size_t done = 0;
  std::size_t at = 0;
  while (!empty() && at < text.size()) {
    const Found found = find(text, at);
    if (found.needle < 0) break;
    const Needle& needle = needles_[static_cast<std::size_t>(found.needle)];
    std::size_t begin = found.begin;
    std::size_t end = begin + needle.text.size();
    at = end;
    if (needle.token.single_word) {
      if (begin > 0 && is_word(code_point_before(text, begin).value)) continue;
      if (end < text.size() && is_word(code_point_at(text, end).value)) continue;
    }
    if (needle.token.lstrip) {
      while (begin > done && is_white_space(code_point_before(text, begin).value)) {
        begin -= code_point_before(text, begin).bytes;
      }
      begin = std::max(begin, done);
    }
    if (needle.token.rstrip) {
      while (end < text.size() && is_white_space(code_point_at(text, end).value)) {
        end += code_point_at(text, end).bytes;
      }
    }
    if (done < begin) parts.push_back({-1, done, begin});
    parts.push_back({needle.token.id, begin, end});
    done = end;
  }
  if (done < text.size()) parts.push_back({-1, done, text.size()});
}

}  // namespace trireme
