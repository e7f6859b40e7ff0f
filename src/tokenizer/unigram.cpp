// SPDX-License-Identifier: Apache-2.0
// Unigram: of all ways to split a piece into tokens, the one whose scores have the largest sum.
// Sums are formed in the order of the peers, since rounding decides between equal ones.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "model.hpp"
#include "part_fields.hpp"
#include "trie.hpp"
#include "utf8.hpp"

namespace trireme {

using nlohmann::json;

namespace {

constexpr double kUnknownPenalty = 10;  // below the least score of a token
constexpr std::int32_t kNoUnknown = -1;

// The number that serde_json reads from the shortest digits of `exact`. Dividing the digits by
// a power of ten, serde_json can arrive at a neighbour of `exact`.
double as_serde_reads(double exact) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), std::abs(exact),
                                 std::chars_format::scientific)
                       .ptr;
  std::uint64_t digits = 0;
  int exponent = 0;
  const char* at = text.data();
  for (bool fraction = false; at < end && *at != 'e'; ++at) {
    if (*at == '.') {
      fraction = true;
    } else {
      digits = digits * 10 + static_cast<std::uint64_t>(*at - '0');
      exponent -= fraction ? 1 : 0;
    }
  }
  int shift = 0;
  if (at + 1 < end) std::from_chars(at + (at[1] == '+' ? 2 : 1), end, shift);
  exponent += shift;
  auto value = static_cast<double>(digits);
  if (exponent < -308) {
    value /= 1e308;
    exponent += 308;
  }
  double power = 1;
  const std::string name = fmt::format("1e{}", std::abs(exponent));
  std::from_chars(name.data(), name.data() + name.size(), power);
  value = exponent < 0 ? value / power : value * power;
  return std::signbit(exact) ? -value : value;
}

class Unigram final : public Model {
 public:
  explicit Unigram(const Fields& fields) {
    read_vocabulary(fields.array("vocab"), fields.where("vocab"));
    if (fields.has("unk_id")) {
      const std::int64_t unknown = fields.whole_number("unk_id");
      if (unknown >= size()) fields.refuse("unk_id", "is not in the vocabulary");
      unknown_ = static_cast<std::int32_t>(unknown);
    }
    if (fields.boolean("byte_fallback", false)) find_bytes();
  }

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    TRM_REQUIRE(piece.size() < kNowhere, "a piece of {} bytes is too long", piece.size());
    thread_local std::vector<Best> best;  // how the text before each byte is split
    thread_local std::vector<std::size_t> path;
    best.assign(piece.size() + 1, Best{});
    for (std::size_t at = 0; at < piece.size();) at += extend(piece, at, best);
    path.clear();
    for (std::size_t end = piece.size(); end > 0; end = best[end].begin) path.push_back(end);
    for (std::size_t i = path.size(); i-- > 0;) {
      const std::int32_t id = best[path[i]].id;
      if (id != unknown_) {
        ids.push_back(id);
        continue;
      }
      const std::size_t begin = best[path[i]].begin;  // unknown neighbours are one
      while (i > 0 && best[path[i - 1]].id == unknown_) --i;
      append_unknown(piece.substr(begin, path[i] - begin), ids);
    }
  }

  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const override {
    const std::int32_t id = trie_.value_of(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
  [[nodiscard]] std::string token_of(std::int32_t id) const override {
    return tokens_.at(static_cast<std::size_t>(id));
  }
  [[nodiscard]] std::int64_t size() const override {
    return static_cast<std::int64_t>(tokens_.size());
  }

 private:
  static constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();
  struct Best {
    double score = 0;
    std::uint32_t begin = kNowhere;  // where the last token begins
    std::int32_t id = 0;
    void improve(double other, std::size_t from, std::int32_t with) {
      if (begin != kNowhere && !(other > score)) return;
      score = other;
      begin = static_cast<std::uint32_t>(from);
      id = with;
    }
  };

  void read_vocabulary(const json& list, const std::string& where) {
    TRM_REQUIRE(!list.empty(), "{}: the vocabulary is empty", where);
    TRM_REQUIRE(list.size() <= std::numeric_limits<std::int32_t>::max(),
                "{}: {} tokens are too many", where, list.size());
    double least = std::numeric_limits<double>::infinity();
    for (const json& entry : list) {
      TRM_REQUIRE(
          entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number(),
          "{}[{}]: a token and its score are needed", where, tokens_.size());
      tokens_.push_back(entry[0].get<std::string>());
      scores_.push_back(entry[1].is_number_float() ? as_serde_reads(entry[1].get<double>())
                                                   : entry[1].get<double>());
      least = std::min(least, scores_.back());
    }
    unknown_score_ = least - kUnknownPenalty;
    std::vector<std::pair<std::string_view, std::int32_t>> keys;
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      if (!tokens_[id].empty()) keys.emplace_back(tokens_[id], static_cast<std::int32_t>(id));
    }
    // Only the last of equal tokens is ever used.
    std::stable_sort(keys.begin(), keys.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::pair<std::string_view, std::int32_t>> last;
    for (const auto& key : keys) {
      if (!last.empty() && last.back().first == key.first) last.pop_back();
      last.push_back(key);
    }
    trie_ = Trie(std::move(last));
  }

  // The tokens of bytes, for what is unknown. Without all bytes of a text, it stays unknown.
  void find_bytes() {
    byte_ids_.resize(256);
    for (unsigned byte = 0; byte < 256; ++byte) {
      byte_ids_[byte] = trie_.value_of(fmt::format("<0x{:02X}>", byte));
    }
  }

  // Extends the best text before `at` by each token that begins there. Returns the size of the
  // code point at `at`.
  std::size_t extend(std::string_view piece, std::size_t at, std::vector<Best>& best) const {
    const double score = best[at].score;
    const std::size_t one = code_point_at(piece, at).bytes;
    bool has_one = false;
    std::uint32_t node = Trie::kRoot;
    for (std::size_t i = at; i < piece.size();) {
      node = trie_.next(node, piece[i++]);
      if (node == Trie::kNone) break;
      const std::int32_t id = trie_.value(node);
      if (id < 0) continue;
      best[i].improve(scores_[static_cast<std::size_t>(id)] + score, at, id);
      has_one = has_one || i == at + one;
    }
    if (!has_one) best[at + one].improve(unknown_score_ + score, at, unknown_);
    return one;
  }

  void append_unknown(std::string_view text, std::vector<std::int32_t>& ids) const {
    TRM_REQUIRE(unknown_ != kNoUnknown,
                "\"{}\" is not in the vocabulary, and no unk_id stands for it", text);
    const std::int32_t whole = trie_.value_of(text);
    const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
    if (whole >= 0) {
      ids.push_back(whole);
    } else if (!byte_ids_.empty() &&
               std::all_of(text.begin(), text.end(), [&](char b) { return byte_id(b) >= 0; })) {
      for (const char byte : text) ids.push_back(byte_id(byte));
    } else {
      ids.push_back(unknown_);
    }
  }

  std::vector<std::string> tokens_;
  std::vector<double> scores_;
  Trie trie_;
  std::vector<std::int32_t> byte_ids_;  // empty: no byte fallback
  double unknown_score_ = 0;
  std::int32_t unknown_ = kNoUnknown;
};

}  // namespace

std::unique_ptr<Model> make_unigram(const json& spec, const std::string& where) {
  return std::make_unique<Unigram>(Fields(spec, where, {"vocab", "unk_id", "byte_fallback"}));
}

}  // namespace trireme
